// An echo server for ioduel: a goroutine for each connection.
package main

import (
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"runtime"
	"syscall"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:31400", "where to listen")
	messageBytes := flag.Int("message-bytes", 16, "the size of a message")
	workers := flag.Int("workers", 0, "how many threads run goroutines; 0 for as many as there are processors")
	flag.Parse()
	if *workers > 0 {
		runtime.GOMAXPROCS(*workers)
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	for {
		connection, err := listener.Accept()
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			time.Sleep(10 * time.Millisecond) // until another connection has closed
			continue
		}
		if err != nil {
			log.Fatal(err)
		}
		go serve(connection, *messageBytes)
	}
}

// Answers each message with "Re:" and the message, until the peer closes. Go sets TCP_NODELAY by itself.
func serve(connection net.Conn, messageBytes int) {
	defer connection.Close()
	reply := append([]byte("Re:"), make([]byte, messageBytes)...)
	for {
		if _, err := io.ReadFull(connection, reply[3:]); err != nil {
			return
		}
		if _, err := connection.Write(reply); err != nil {
			return
		}
	}
}
