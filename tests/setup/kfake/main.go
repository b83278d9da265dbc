// A cluster that is not Apache Kafka's, for k-init to meet: franz-go's kfake, which keeps topics, bindings, users, quotas, transactions and
// records in memory, with no request above the versions of the broker that it plays. It writes its addresses to a file and runs until it is stopped.
//
//	kfake redpanda|2.8|newest FILE
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kversion"
)

// Redpanda 24.3, by the handlers in its repository: what it answers at most. What is not here it has not.
func redpanda() *kversion.Versions {
	highest := map[int16]int16{
		0: 7, 1: 11, 2: 4, 3: 8, 8: 8, 9: 8, 10: 4, 11: 6, 12: 4, 13: 4, 14: 4, 15: 5, 16: 4, 17: 1, 18: 3, 19: 6, 20: 4,
		21: 2, 22: 3, 23: 4, 24: 3, 25: 3, 26: 3, 28: 3, 29: 2, 30: 2, 31: 2, 32: 4, 33: 1, 35: 2, 36: 2, 37: 3, 42: 2,
		44: 1, 45: 0, 46: 0, 47: 0, 48: 1, 49: 1, 50: 0, 51: 0, 60: 0, 61: 0, 65: 0, 66: 0,
	}
	versions := new(kversion.Versions)
	for key, version := range highest {
		versions.SetMaxKeyVersion(key, version)
	}
	return versions
}

func main() {
	options := []kfake.Opt{kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "admin", "admin-secret")}
	if len(os.Args) != 3 {
		os.Args = []string{"", "", ""}
	}
	switch os.Args[1] {
	case "redpanda":
		options = append(options, kfake.MaxVersions(redpanda()))
	case "2.8":
		options = append(options, kfake.MaxVersions(kversion.V2_8_0()))
	case "newest":
	default:
		fmt.Fprintln(os.Stderr, "kfake redpanda|2.8|newest FILE")
		os.Exit(2)
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer cluster.Close()
	// Whoever finds the file finds all of it.
	part := os.Args[2] + ".part"
	err = os.WriteFile(part, []byte(strings.Join(cluster.ListenAddrs(), ",")), 0o600)
	if err == nil {
		err = os.Rename(part, os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, syscall.SIGTERM, syscall.SIGINT)
	<-stopped
}
