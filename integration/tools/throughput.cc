// throughput: the bytes and files of `make bench`, the same program in a container, in a bare VM and on the
// host. Prints one number.
//   write MIB            zeros to stdout, in pieces of 64 KiB
//   read                 stdin to its end: MB/s between the first byte and the last
//   accept UNIX          the same of a unix socket's first connection
//   serve                the same of a TCP connection to port 4000; several one after the other, a line each
//   send ADDRESS MIB     MIB MiB to ADDRESS:4000
//   big-write DIR MIB    a file written and synced: MB/s
//   big-read DIR MIB     a file that the kernel here has forgotten, read: MB/s
//   small DIR COUNT      files of 4 KiB made, read and removed: files a second
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "unix_socket.h"

namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kPiece = 65536, kMib = 1 << 20, kSmall = 4096;
constexpr in_port_t kPort = 4000;
std::vector<char> buffer(kPiece);

template <typename T>
T check(T result, const std::string& what) {
  if (result >= 0) return result;
  perror(what.c_str());
  exit(1);
}

double since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

void print_rate(double amount, double seconds) {
  printf("%.1f\n", amount / seconds);
  fflush(stdout);
}

void write_bytes(int fd, size_t bytes) {
  for (size_t done = 0; done < bytes;)
    done += static_cast<size_t>(check(write(fd, buffer.data(), std::min(kPiece, bytes - done)), "write"));
}

void read_all(int fd) {
  ssize_t n = check(read(fd, buffer.data(), kPiece), "read");
  const Clock::time_point begin = Clock::now();
  double bytes = 0;  // after the first piece, whose arrival starts the clock
  while (n > 0 && (n = check(read(fd, buffer.data(), kPiece), "read")) > 0) bytes += static_cast<double>(n);
  print_rate(bytes / 1e6, since(begin));
}

int accept_unix(const char* path) {
  return check(unix_socket::accept_from(check(unix_socket::listen_at(path), path)), path);
}

void serve() {
  sockaddr_in address{AF_INET, htons(kPort), {INADDR_ANY}, {}};
  int one = 1, fd = check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  check(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), "SO_REUSEADDR");
  check(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), "bind");
  check(listen(fd, 1), "listen");
  for (;;) {
    int connection = check(accept(fd, nullptr, nullptr), "accept");
    read_all(connection);
    close(connection);
  }
}

void send(const char* to, size_t bytes) {
  sockaddr_in address{AF_INET, htons(kPort), {}, {}};
  inet_pton(AF_INET, to, &address.sin_addr);
  int fd = check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  check(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), to);
  write_bytes(fd, bytes);
  // A VM that ends with us would take along what is still on the way.
  shutdown(fd, SHUT_WR);
  check(read(fd, buffer.data(), 1), "the server's end");
}

void big_write(const std::string& file, size_t bytes) {
  unlink(file.c_str());
  const Clock::time_point begin = Clock::now();
  int fd = check(open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), file);
  write_bytes(fd, bytes);
  check(fsync(fd), file);
  print_rate(static_cast<double>(bytes) / 1e6, since(begin));
}

void big_read(const std::string& file, size_t bytes) {
  int fd = open(file.c_str(), O_RDONLY);
  if (fd < 0) {
    fd = check(open(file.c_str(), O_RDWR | O_CREAT, 0644), file);
    write_bytes(fd, bytes);
    check(fsync(fd), file);
    lseek(fd, 0, SEEK_SET);
  }
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  const Clock::time_point begin = Clock::now();
  double got = 0;
  for (ssize_t n; (n = check(read(fd, buffer.data(), kPiece), file)) > 0;) got += static_cast<double>(n);
  print_rate(got / 1e6, since(begin));
}

void small_files(const std::string& folder, int count) {
  auto name = [&](int i) { return folder + "/small-" + std::to_string(i); };
  const Clock::time_point begin = Clock::now();
  for (int i = 0; i < count; ++i) {
    int fd = check(open(name(i).c_str(), O_WRONLY | O_CREAT | O_EXCL, 0644), name(i));
    check(write(fd, buffer.data(), kSmall), name(i));
    close(fd);
  }
  for (int i = 0; i < count; ++i) {
    int fd = check(open(name(i).c_str(), O_RDONLY), name(i));
    check(read(fd, buffer.data(), kSmall), name(i));
    close(fd);
  }
  for (int i = 0; i < count; ++i) check(unlink(name(i).c_str()), name(i));
  print_rate(count, since(begin));
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "", where = argc > 2 ? argv[2] : "";
  const size_t amount = argc > 3 ? strtoul(argv[3], nullptr, 10) : 0;
  if (what == "write")
    write_bytes(1, strtoul(where.c_str(), nullptr, 10) * kMib);
  else if (what == "read")
    read_all(0);
  else if (what == "accept")
    read_all(accept_unix(where.c_str()));
  else if (what == "serve")
    serve();
  else if (what == "send")
    send(where.c_str(), amount * kMib);
  else if (what == "big-write")
    big_write(where + "/big", amount * kMib);
  else if (what == "big-read")
    big_read(where + "/big-read", amount * kMib);
  else if (what == "small")
    small_files(where, static_cast<int>(amount));
  else
    return fprintf(stderr, "usage: see throughput.cc\n"), 2;
  return 0;
}
