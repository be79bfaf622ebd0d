// Probe is what test pods run: it serves, dials, resolves, writes and reads, and says plainly how that went.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const usage = `probe serve :PORT          answer every request with this pod's name
probe dial HOST:PORT       end with 0 when a TCP connection opens within 2 s
probe resolve NAME         print the addresses of a name
probe write FILE TEXT      write a file
probe read FILE            print a file
probe sleep                wait to be ended`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "serve":
		return serve(args[1])
	case len(args) == 2 && args[0] == "dial":
		connection, err := net.DialTimeout("tcp", args[1], 2*time.Second)
		if err == nil {
			err = connection.Close()
		}
		return err
	case len(args) == 2 && args[0] == "resolve":
		within, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		addresses, err := net.DefaultResolver.LookupHost(within, args[1])
		for _, address := range addresses {
			fmt.Println(address)
		}
		return err
	case len(args) == 3 && args[0] == "write":
		return os.WriteFile(args[1], []byte(args[2]), 0o600)
	case len(args) == 2 && args[0] == "read":
		content, err := os.ReadFile(args[1])
		fmt.Print(string(content))
		return err
	case len(args) == 1 && args[0] == "sleep":
		<-asked()
		return nil
	}
	return fmt.Errorf("%s", usage)
}

func serve(address string) error {
	name, _ := os.Hostname()
	server := &http.Server{
		Addr:              address,
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(answer, name)
		}),
	}
	go func() {
		<-asked()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// asked receives when the pod is to end: process 1 has no default action for a signal.
func asked() <-chan os.Signal {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	return ended
}
