//! Dashboards, data sources and alert rules: grafana-init beside the same requests on one connection and curl. No registry has a Grafana:
//! the live one that `GRAFANA_URL` names, else a stand-in that takes for each answer what a real 12.4 took (63 reads in 0.70 s).

use std::time::Duration;

use kit::grafana::{Effect, Fault, Options, Profile, Target};
use kit::http1::Request;
use kit::many;
use kit::proxy::http::HttpProxy;
use kit::sandbox::Sandbox;

use crate::http::{Call, Server};
use crate::sides::{Scale, Side, alternate, work};
use crate::table::Table;

const REAL: Duration = Duration::from_millis(11);
const BARE: &str = "the same writes, one open connection";
const READS: &str = "reading every dashboard, one after the other";
const OURS: &str = "grafana-init: its work";
const PROCESS: &str = "grafana-init: the whole process";
const CURL: &str = "curl -K, one process and connection";
const CURLS: &str = "a shell loop, one curl a request";

pub(crate) fn measure(table: &mut Table, scale: Scale) {
    let (dashboards, sources, groups) = scale.pick((300, 40, 6), (20, 5, 1));
    let target = Target::live_or(Profile::V12, &Options::default());
    let server = if target.is_live() {
        format!("Grafana {:?}, live", target.version())
    } else {
        format!("Grafana 12.4, a stand-in that answers in {} ms", REAL.as_millis())
    };
    let what = format!("{server}, {dashboards} dashboards, {sources} data sources, {} rules", groups * 10);
    let fill = |sandbox: Sandbox| {
        for n in 0..dashboards {
            let (path, body) = many::dashboard(n);
            sandbox.write(&path, body.to_string());
        }
        for n in 0..sources {
            sandbox.write(&format!("datasources/d{n:02}.json"), many::data_source(n).to_string());
        }
        for n in 0..groups {
            sandbox.write(&format!("alert_rules/Team 0/g{n}.json"), many::rules(n).to_string());
        }
        sandbox.env("APPLY_TIMEOUT", "5m").deadline(Duration::from_mins(6))
    };
    let writes = recorded(&target.another(), &fill);
    let reads: Vec<Call> = (0..dashboards).map(|n| Call::get(format!("/api/dashboards/uid/d{n}"))).collect();
    let fresh = || {
        let target = target.another();
        if !target.is_live() {
            target.server().fault(Fault::anywhere("/", Effect::Delay(REAL)));
        }
        target
    };
    let server = |target: &Target| {
        let (url, user, password) = target.login();
        Server { url: url.to_owned(), login: Some((user.to_owned(), password.to_owned())) }
    };
    let counts = std::cell::Cell::new([0; 4]);
    let mut sides = [
        Side::new(BARE, |_| {
            let target = fresh();
            let first = server(&target).bare(&writes);
            vec![("first", first), ("second", server(&target).bare(&reads))]
        }),
        Side::new(OURS, |_| {
            let target = fresh();
            let sandbox = fill(target.sandbox());
            let (first, second) = (target.apply(&sandbox), target.settled(&sandbox));
            counts.set(
                [&first, &second].map(|run| [run.count("requests"), run.count("writes")]).concat()[..]
                    .try_into()
                    .expect("two of two"),
            );
            vec![
                ("first", work(&first)),
                ("second", work(&second)),
                ("first, process", first.elapsed),
                ("second, process", second.elapsed),
            ]
        }),
        Side::new(CURL, |_| {
            let target = fresh();
            let run = || server(&target).one_curl(&writes);
            vec![("first", run()), ("second", run())]
        }),
        Side::new(CURLS, |_| {
            let target = fresh();
            let run = || server(&target).many_curls(&writes);
            vec![("first", run()), ("second", run())]
        }),
    ];
    let found = alternate(scale.pick(3, 1), &mut sides);
    let steps =
        [("first", "first, process", "first run", BARE, 1.1), ("second", "second, process", "second run", READS, 0.6)];
    for (step, process, told, bare, limit) in steps {
        let what = format!("{what}, {told}");
        let base = found.of(BARE, step);
        table.row(&what, bare, &base, &base);
        table.row(&what, OURS, &found.of(OURS, step), &base).at_most(limit);
        table.row(&what, PROCESS, &found.of(OURS, process), &base);
        table.row(&what, CURL, &found.of(CURL, step), &base);
        table.row(&what, CURLS, &found.of(CURLS, step), &base);
    }
    let [first, writes, second, again] = counts.get();
    table.fact(&format!("{what}, first run"), "grafana-init: requests", format!("{first}, {writes} writes"));
    let row = table.fact(&format!("{what}, second run"), "grafana-init: requests", format!("{second}, {again} writes"));
    row.bound("no write", again == 0);
}

/// The writes of a first run, as they went over the wire.
fn recorded(target: &Target, fill: &dyn Fn(Sandbox) -> Sandbox) -> Vec<Call> {
    let proxy = HttpProxy::to(target.login().0);
    let sandbox = fill(target.sandbox().env("GRAFANA_URL", proxy.url()));
    target.apply(&sandbox);
    let log = proxy.log().into_iter().map(|exchange| exchange.request).filter(Request::writes);
    log.map(|request| Call { body: Some(request.json()), method: request.method, path: request.target }).collect()
}
