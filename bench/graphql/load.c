// A closed loop of HTTP/1.1 requests over connections that are kept alive: so many requests, whatever they take.
//
// usage: load PORT REQUESTS CONNECTIONS COUNT
// REQUESTS is a file of requests, sent in turn from its beginning; before each stands a line "<bytes> <mark>\n".
// An answer is good if its status is 200, its mark is in it and `"errors"` is not. Prints one object in JSON.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 1024, MAX_ANSWER = 8 << 20, MAX_MARK = 64, WAIT_MS = 60000, EVENTS = 256 };

typedef struct {
    const char *bytes;
    size_t length;
    char mark[MAX_MARK];
} Request;

typedef struct {
    int socket;
    const Request *request;
    double began;
    char *answer;
    size_t length, room, header, whole;
    int chunked;
} Connection;

static Request *requests;
static size_t request_count;
static long sent, wanted;

static double now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static void fail(const char *what) {
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

static void read_requests(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) fail("cannot read the requests");
    size_t length, room = 0;
    char mark[MAX_MARK];
    while (fscanf(file, "%zu %63s", &length, mark) == 2) {
        if (fgetc(file) != '\n') fail("a request begins with a line of its own");
        char *bytes = malloc(length);
        if (!bytes || fread(bytes, 1, length, file) != length) fail("a request is cut off");
        if (request_count == room) {
            room = room ? 2 * room : 1024;
            requests = realloc(requests, room * sizeof *requests);
            if (!requests) fail("out of memory");
        }
        Request *one = &requests[request_count++];
        one->bytes = bytes;
        one->length = length;
        memcpy(one->mark, mark, MAX_MARK);
    }
    fclose(file);
    if (!request_count) fail("there are no requests");
}

static void send_next(Connection *connection) {
    if (sent == wanted) {
        // A server closes what is idle for long, while others still wait for their answers.
        close(connection->socket);
        return;
    }
    connection->request = &requests[sent++ % request_count];
    connection->length = connection->header = connection->whole = 0;
    connection->began = now_ms();
    size_t done = 0;
    while (done < connection->request->length) {
        ssize_t written =
            send(connection->socket, connection->request->bytes + done, connection->request->length - done, MSG_NOSIGNAL);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) fail("cannot send");
        done += written;
    }
}

static void read_header(Connection *connection) {
    char *end = memmem(connection->answer, connection->length, "\r\n\r\n", 4);
    if (!end) return;
    *end = 0;
    connection->header = end + 4 - connection->answer;
    char *declared = strcasestr(connection->answer, "\r\ncontent-length:");
    connection->chunked = !declared;
    connection->whole = declared ? connection->header + strtoul(declared + 17, NULL, 10) : 0;
}

static int is_whole(Connection *connection) {
    if (!connection->header) read_header(connection);
    if (!connection->header) return 0;
    if (!connection->chunked) return connection->length >= connection->whole;
    return connection->length >= connection->header + 5 &&
           !memcmp(connection->answer + connection->length - 5, "0\r\n\r\n", 5);
}

static int is_good(Connection *connection) {
    const char *body = connection->answer + connection->header;
    size_t length = connection->length - connection->header;
    const char *mark = connection->request->mark;
    return !strncmp(connection->answer + 9, "200", 3) && memmem(body, length, mark, strlen(mark)) &&
           !memmem(body, length, "\"errors\"", 8);
}

static void receive(Connection *connection) {
    if (connection->length + 65536 > connection->room) {
        connection->room = 2 * connection->room;
        if (connection->room > MAX_ANSWER) fail("an answer is too large");
        connection->answer = realloc(connection->answer, connection->room);
        if (!connection->answer) fail("out of memory");
    }
    size_t room = connection->room - 1 - connection->length;
    ssize_t got = recv(connection->socket, connection->answer + connection->length, room, 0);
    if (got <= 0) fail("a connection was closed");
    connection->length += got;
    connection->answer[connection->length] = 0;
}

static void connect_to(Connection *connection, int port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int yes = 1;
    connection->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection->socket, (void *)&at, sizeof at)) fail("cannot connect");
    setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    connection->room = 1 << 18;
    connection->answer = malloc(connection->room);
    if (!connection->answer) fail("out of memory");
}

static int by_size(const void *one, const void *other) {
    double difference = *(const double *)one - *(const double *)other;
    return (difference > 0) - (difference < 0);
}

int main(int count, char **arguments) {
    if (count != 5) fail("usage: load PORT REQUESTS CONNECTIONS COUNT");
    int port = atoi(arguments[1]), opened = atoi(arguments[3]);
    wanted = atol(arguments[4]);
    if (opened < 1 || opened > MAX_CONNECTIONS || wanted < 1) fail("connections must be 1 to 1024, and requests 1 or more");
    read_requests(arguments[2]);
    Connection *connections = calloc(opened, sizeof *connections);
    double *latencies = malloc(wanted * sizeof *latencies);
    if (!connections || !latencies) fail("out of memory");
    int poll = epoll_create1(0);
    for (int at = 0; at < opened; at++) {
        connect_to(&connections[at], port);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[at]};
        epoll_ctl(poll, EPOLL_CTL_ADD, connections[at].socket, &event);
    }
    long done = 0, bad = 0;
    double bytes = 0, began = now_ms();
    for (int at = 0; at < opened; at++) send_next(&connections[at]);
    struct epoll_event events[EVENTS];
    while (done < wanted) {
        int ready = epoll_wait(poll, events, EVENTS, WAIT_MS);
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) fail("no answer came for a minute");
        for (int at = 0; at < ready; at++) {
            Connection *connection = events[at].data.ptr;
            receive(connection);
            if (!is_whole(connection)) continue;
            latencies[done++] = now_ms() - connection->began;
            bytes += connection->length;
            if (!is_good(connection) && !bad++) fprintf(stderr, "load: %.400s\n", connection->answer + connection->header);
            send_next(connection);
        }
    }
    double took = now_ms() - began;
    qsort(latencies, wanted, sizeof *latencies, by_size);
    printf("{\"count\": %ld, \"bad\": %ld, \"seconds\": %.6f, \"bytes\": %.0f, \"p50_ms\": %.3f, \"p99_ms\": %.3f}\n", wanted,
           bad, took / 1e3, bytes, latencies[wanted / 2], latencies[(long)(wanted * 0.99)]);
    return 0;
}
