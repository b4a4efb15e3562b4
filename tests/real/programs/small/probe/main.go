// probe: `probe serve` answers with its pod's name on port 8080; `probe ask URL` asks once and prints the answer. The ring's
// pods run it to see whether pods and Services reach one another.
package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const port = ":8080"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	switch {
	case len(arguments) == 1 && arguments[0] == "serve":
		return serve()
	case len(arguments) == 2 && arguments[0] == "ask":
		return ask(arguments[1])
	}
	return errors.New("usage: probe serve | probe ask URL")
}

func serve() error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	ended := make(chan error, 1)
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, name) })
	go func() { ended <- http.ListenAndServe(port, nil) }()
	select {
	case err := <-ended:
		return err
	case <-signals:
		// A Service may still send something here until every node has heard that this pod goes.
		time.Sleep(5 * time.Second)
		return nil
	}
}

func ask(url string) error {
	client := http.Client{Timeout: 20 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, answer.Status)
	}
	_, err = io.Copy(os.Stdout, io.LimitReader(answer.Body, 1000))
	return err
}
