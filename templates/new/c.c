/* An echo server for ioduel: a thread for each connection. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t message_bytes;

/* Answers each message with "Re:" and the message, until the peer closes. */
static void *serve(void *socket)
{
    int connection = (int)(intptr_t)socket;
    char *reply = malloc(3 + message_bytes);
    memcpy(reply, "Re:", 3);
    ssize_t n = 1;
    while (n > 0 && recv(connection, reply + 3, message_bytes, MSG_WAITALL) == (ssize_t)message_bytes)
        for (size_t sent = 0; sent < 3 + message_bytes && n > 0; sent += (size_t)n)
            n = send(connection, reply + sent, 3 + message_bytes - sent, 0);
    free(reply);
    close(connection);
    return NULL;
}

/* The words are HOST PORT MESSAGE_BYTES. */
int main(int count, char **words)
{
    if (count != 4)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    message_bytes = strtoul(words[3], NULL, 10);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(words[2])) };
    inet_pton(AF_INET, words[1], &address.sin_addr);
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* accepted connections inherit it */
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 4096) != 0)
        return 1;
    for (pthread_t thread;;) {
        int connection = accept(listener, NULL, NULL);
        if (connection < 0)
            usleep(10000); /* descriptors ran out: until another connection has closed */
        else if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)connection) == 0)
            pthread_detach(thread);
        else
            close(connection);
    }
}
