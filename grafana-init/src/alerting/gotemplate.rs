//! The syntax of Go's templates, as far as people get it wrong: actions and blocks that are not closed. Pure; no expression is understood.

/// What is wrong with a text, with its line.
pub(crate) fn wrong(text: &str) -> Option<String> {
    let mut open: Vec<(usize, &str)> = Vec::new();
    let mut rest = text;
    let line = |rest: &str| text[..text.len() - rest.len()].matches('\n').count() + 1;
    while let Some(start) = rest.find("{{") {
        let at = line(&rest[start..]);
        let inside = &rest[start + 2..];
        let Some((action, after)) = action(inside) else {
            return Some(format!("line {at}: an action that begins with {{{{ is not closed by }}}}"));
        };
        rest = after;
        let action = action.strip_prefix('-').unwrap_or(action).trim_start();
        if action.starts_with("/*") {
            continue;
        }
        let word = action.split(|c: char| c.is_whitespace() || c == '"').next().unwrap_or_default();
        match word {
            "define" | "block" | "if" | "range" | "with" => open.push((at, word)),
            "end" | "end-" if open.pop().is_none() => return Some(format!("line {at}: {{{{ end }}}} closes nothing")),
            "else" if !open.last().is_some_and(|(_, word)| ["if", "range", "with"].contains(word)) => {
                return Some(format!("line {at}: {{{{ else }}}} stands in no if, range or with"));
            }
            _ => {}
        }
    }
    let (at, word) = open.pop()?;
    Some(format!("line {at}: {{{{ {word} }}}} is not closed by {{{{ end }}}}"))
}

/// What stands up to the `}}` that closes an action, strings and comments passed over, and what comes after.
fn action(text: &str) -> Option<(&str, &str)> {
    let comment = text.trim_start_matches('-').trim_start();
    if comment.starts_with("/*") {
        let end = text.find("*/")? + 2;
        let close = text[end..].find("}}")? + end;
        return Some((&text[..close], &text[close + 2..]));
    }
    let mut quote: Option<char> = None;
    let mut escaped = false;
    for (index, c) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some('"' | '\'') if c == '\\' => escaped = true,
            // Only a raw string goes over several lines.
            Some('"' | '\'') if c == '\n' => return None,
            Some(open) if c == open => quote = None,
            None if matches!(c, '"' | '`' | '\'') => quote = Some(c),
            None if text[index..].starts_with("}}") => return Some((&text[..index], &text[index + 2..])),
            Some(_) | None => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn good_templates_pass() {
        for good in [
            "plain text",
            "{{ define \"a\" }}{{ range .Alerts }}{{ if eq .Status \"}}\" }}x{{ else }}y{{ end }}{{ end }}{{ end }}",
            "{{- define \"a\" -}}{{/* }} */}}{{- /* a */ -}}{{ `raw }}` }}{{- end -}}",
            "{{define \"a\"}}{{with .X}}{{.}}{{else with .Y}}z{{end}}{{end}}",
        ] {
            assert_eq!(wrong(good), None, "{good}");
        }
    }

    #[test]
    fn what_is_not_closed_is_told_with_its_line() {
        let says = |text: &str| wrong(text).unwrap_or_default();
        assert!(says("{{ define \"a7\" }}{{ .X ").starts_with("line 1: an action"));
        assert!(says("{{ define \"a\" }}\n{{ if .X }}\n{{ end }}").starts_with("line 1: {{ define }} is not closed"));
        assert!(says("a\n{{ end }}").starts_with("line 2: {{ end }} closes nothing"));
        assert!(says("{{ define \"a }}{{ end }}").starts_with("line 1"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fall(text in "[{}\"`'\\\\/* \na-z-]{0,60}") {
            let _ = wrong(&text);
        }
    }
}
