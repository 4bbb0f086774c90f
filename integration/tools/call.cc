// call [-0 IN] [-1 OUT] [-2 OUT] [-t ROWSxCOLUMNS] [-c SOCKET] [-p PIDFILE] [-s STEP]... COMMAND...
//
// Calls a command as an engine, a shell or a person at a terminal does, with the standard streams
// that a test asks for, and reports in lines KEY=VALUE what came through: bytes, sums, and the text where it
// is short. Streams that are not named are /dev/null.
//
//   IN    null, closed, file:PATH, and pipes: pattern:BYTES (so many bytes of a pattern), text:TEXT,
//         open (nobody writes to it); socket-pattern:BYTES, socket-text:TEXT, socket (open): the same with
//         one end of a socket pair
//   OUT   null, closed, file:PATH, append:PATH, pipe, socket, gone (a pipe whose reader has gone),
//         0 and 1 (that one again)
//
//   -t    the command is called on a terminal of that size: those of 0, 1, 2 that are not named are its slave
//
//   -c    the master that comes over this socket is the terminal
//
//   -p    what is waited for is not the command's end but that of the process in this file, which the
//         command has written
//
// Steps are done in order, each when it can be, while everything is read and written:
//
//   expect:TEXT   this has come from any of the streams since the last expect
//   stop:N, go:N  N (1, 2, t) is no longer read, is read again. `stop` before anything is read
//   close:N       our end of N (0, 1, 2, t) is closed
//   type:TEXT     goes to the terminal, else to an open 0; \n, \r, \xNN
//   size:RxC      the terminal's size from now on
//   ended:N       our N has ended: 0 has no reader any more, 1, 2 or t no writer
//   exited:       the command has
//   signal:N      to the command (the number)
//   sh:COMMAND    is run by a shell; its output goes to our stderr
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "unix_socket.h"

namespace {

[[noreturn]] void die(const std::string& what) {
  fprintf(stderr, "call: %s: %s\n", what.c_str(), strerror(errno));
  exit(99);
}

constexpr size_t kMaxText = 1000;  // that is reported

// FNV-1a.
struct Sum {
  uint64_t bytes = 0, hash = 14695981039346656037u;
  void add(const char* data, size_t size) {
    for (size_t i = 0; i < size; ++i) hash = (hash ^ static_cast<unsigned char>(data[i])) * 1099511628211u;
    bytes += size;
  }
};

// Bytes that do not repeat in any way that a stream's chunks do.
class Pattern {
 public:
  std::string next(size_t size) {
    std::string out(size, '\0');
    for (char& c : out) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;
      c = static_cast<char>(state_ >> 56);
    }
    return out;
  }

 private:
  uint64_t state_ = 1;
};

struct Stream {
  const char* name = "";
  int fd = -1;                                        // our end
  bool reads = false, stopped = false, half = false;  // half: a socket whose writing end closes alone
  std::string text;                                   // the beginning of what we read
  Sum in, out;                                        // in: what we read, out: what we wrote
  std::string pending;                                // to be written
  uint64_t pattern_left = 0;                          // to be made
  bool close_when_written = false;
  std::string end = "open";
  Pattern pattern;
};

struct Step {
  std::string verb, argument;
};

Stream g_in, g_out, g_err, g_tty;
std::deque<Step> g_steps;
std::string g_seen;  // since the last expect
pid_t g_command = -1;
std::string g_console_path;
int g_slave = -1, g_console_listener = -1, g_code = -1;
termios g_before{};

std::string unescape(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
    } else if (text[++i] == 'x') {
      out += static_cast<char>(strtol(text.substr(i + 1, 2).c_str(), nullptr, 16));
      i += 2;
    } else {
      out += text[i] == 'n' ? '\n' : text[i] == 'r' ? '\r' : text[i];
    }
  }
  return out;
}

winsize parse_size(const std::string& text) {
  winsize size{};
  if (sscanf(text.c_str(), "%hux%hu", &size.ws_row, &size.ws_col) != 2) die("not ROWSxCOLUMNS: " + text);
  return size;
}

// "verb:argument"; false: another verb.
bool is(const std::string& text, const char* verb, std::string* argument = nullptr) {
  const std::string with_colon = std::string(verb) + ":";
  if (!argument) return text == verb;
  if (text.rfind(with_colon, 0) != 0) return false;
  *argument = text.substr(with_colon.size());
  return true;
}

int checked(int fd, const std::string& what) {
  if (fd < 0) die(what);
  return fd;
}

// ours and theirs; reader: whether we read.
void make_pipe(bool reader, int& ours, int& theirs) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) die("pipe");
  ours = fds[reader ? 0 : 1];
  theirs = fds[reader ? 1 : 0];
}
void make_socket(int& ours, int& theirs) {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) die("socketpair");
  ours = fds[0];
  theirs = fds[1];
}

// Return the command's end, -1 for none, -2 for the terminal.
int open_in(std::string spec) {
  std::string a;
  int theirs = -1;
  if (is(spec, "null")) return checked(open("/dev/null", O_RDONLY | O_CLOEXEC), spec);
  if (is(spec, "closed")) return -1;
  if (is(spec, "tty")) return -2;
  if (is(spec, "file", &a)) return checked(open(a.c_str(), O_RDONLY | O_CLOEXEC), a);
  const bool socket = spec.rfind("socket", 0) == 0;
  if (socket)
    make_socket(g_in.fd, theirs), spec = spec == "socket" ? "open" : spec.substr(strlen("socket-"));
  else
    make_pipe(false, g_in.fd, theirs);
  g_in.half = socket;
  if (is(spec, "pattern", &a))
    g_in.pattern_left = strtoull(a.c_str(), nullptr, 10), g_in.close_when_written = true;
  else if (is(spec, "text", &a))
    g_in.pending = unescape(a), g_in.close_when_written = true;
  else if (!is(spec, "open"))
    die("no such stdin: " + spec);
  return theirs;
}

int open_out(const std::string& spec, Stream& stream, int in, int out) {
  std::string a;
  int theirs = -1;
  if (is(spec, "null")) return checked(open("/dev/null", O_WRONLY | O_CLOEXEC), spec);
  if (is(spec, "closed")) return -1;
  if (is(spec, "tty")) return -2;
  if (is(spec, "file", &a))
    return checked(open(a.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), a);
  if (is(spec, "append", &a))
    return checked(open(a.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644), a);
  if (is(spec, "0")) return g_in.reads = true, in;
  if (is(spec, "1")) return out;
  if (is(spec, "socket"))
    make_socket(stream.fd, theirs);
  else if (is(spec, "pipe") || is(spec, "gone"))
    make_pipe(true, stream.fd, theirs);
  else
    die("no such output: " + spec);
  stream.reads = true;
  if (is(spec, "gone")) close(stream.fd), stream.fd = -1, stream.end = "closed";
  return theirs;
}

void open_tty(const std::string& size_text) {
  g_tty.fd = checked(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), "posix_openpt");
  if (unlockpt(g_tty.fd) != 0) die("unlockpt");
  g_slave = checked(ioctl(g_tty.fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC), "TIOCGPTPEER");
  const winsize size = parse_size(size_text);
  if (ioctl(g_tty.fd, TIOCSWINSZ, &size) != 0) die("TIOCSWINSZ");
  tcgetattr(g_slave, &g_before);
  g_tty.reads = true;
}

void receive_console() {
  const int peer = checked(unix_socket::accept_from(g_console_listener), "accept");
  g_tty.fd = checked(unix_socket::receive_fd(peer), "the console's fd");
  g_tty.reads = true;
  close(peer);
  close(g_console_listener);
  unlink(g_console_path.c_str());
  g_console_listener = -1;
}

Stream& stream_of(const std::string& name) {
  if (name == "0") return g_in;
  if (name == "1") return g_out;
  if (name == "2") return g_err;
  return g_tty;
}

void close_stream(Stream& s, const char* why) {
  if (s.fd >= 0) close(s.fd);
  s.fd = -1;
  s.end = why;
}

void run_shell(const std::string& command) {
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(2, 1);
    execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    _exit(127);
  }
  waitpid(pid, nullptr, 0);
}

// Whether it could be done.
bool do_step(const Step& step) {
  const std::string& a = step.argument;
  if (step.verb == "expect") {
    const size_t at = g_seen.find(unescape(a));
    if (at == std::string::npos) return false;
    g_seen.erase(0, at + unescape(a).size());
  } else if (step.verb == "stop" || step.verb == "go") {
    stream_of(a).stopped = step.verb == "stop";
  } else if (step.verb == "close") {
    close_stream(stream_of(a), "closed");
  } else if (step.verb == "type") {
    Stream& to = g_tty.reads ? g_tty : g_in;
    if (to.fd < 0) return false;
    to.pending += unescape(a);
  } else if (step.verb == "size") {
    if (g_tty.fd < 0) return false;
    const winsize size = parse_size(a);
    if (ioctl(g_tty.fd, TIOCSWINSZ, &size) != 0) die("TIOCSWINSZ");
  } else if (step.verb == "ended") {
    return stream_of(a).end != "open";
  } else if (step.verb == "exited") {
    return g_code >= 0;
  } else if (step.verb == "signal") {
    kill(g_command, atoi(a.c_str()));
  } else if (step.verb == "sh") {
    run_shell(a);
  } else {
    die("no such step: " + step.verb);
  }
  return true;
}

// False: nothing there now.
bool read_from(Stream& s) {
  static char buffer[1 << 16];
  const ssize_t n = read(s.fd, buffer, sizeof buffer);
  if (n > 0) {
    s.in.add(buffer, static_cast<size_t>(n));
    g_seen.append(buffer, static_cast<size_t>(n));
    if (g_seen.size() > 1 << 17) g_seen.erase(0, 1 << 16);
    if (s.text.size() < kMaxText) s.text.append(buffer, std::min<size_t>(static_cast<size_t>(n), kMaxText));
    return true;
  }
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return errno == EINTR;
  close_stream(s, n == 0 || errno == EIO ? "eof" : strerror(errno));
  return false;
}

bool has_to_write(Stream& s) {
  if (s.pending.empty() && s.pattern_left > 0) {
    const size_t size = std::min<uint64_t>(s.pattern_left, 1 << 16);
    s.pending = s.pattern.next(size);
    s.pattern_left -= size;
  }
  return !s.pending.empty();
}

void write_to(Stream& s) {
  if (has_to_write(s)) {
    const ssize_t n = write(s.fd, s.pending.data(), s.pending.size());
    if (n > 0) {
      s.out.add(s.pending.data(), static_cast<size_t>(n));
      s.pending.erase(0, static_cast<size_t>(n));
    } else if (errno != EAGAIN && errno != EINTR) {
      close_stream(s, errno == EPIPE ? "epipe" : strerror(errno));
    }
  }
  if (s.fd < 0 || has_to_write(s) || !s.close_when_written) return;
  s.close_when_written = false;
  if (s.half)
    shutdown(s.fd, SHUT_WR);
  else
    close_stream(s, "written");
}

pid_t start(char** argv, int in, int out, int err) {
  const pid_t pid = fork();
  if (pid < 0) die("fork");
  if (pid > 0) return pid;
  if (g_slave >= 0 && (setsid() < 0 || ioctl(g_slave, TIOCSCTTY, 0) != 0)) die("controlling terminal");
  int fds[3] = {in, out, err};
  // Out of the way of one another.
  for (int& fd : fds)
    fd = fd == -1 ? -1 : checked(fcntl(fd == -2 ? g_slave : fd, F_DUPFD_CLOEXEC, 20), "dup");
  for (int i = 0; i < 3; ++i)
    if (fds[i] < 0)
      close(i);
    else
      dup2(fds[i], i);
  signal(SIGPIPE, SIG_DFL);
  execvp(argv[0], argv);
  _exit(127);
}

int open_pid(pid_t pid) {
  return checked(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)), "pidfd_open");
}

pid_t pid_in(const std::string& path) {
  FILE* file = fopen(path.c_str(), "r");
  int pid = -1;
  if (!file || fscanf(file, "%d", &pid) != 1) die(path);
  fclose(file);
  return pid;
}

void report(const char* key, const Sum& sum) {
  printf("%s=%llu\n%s_sum=%016llx\n", key, static_cast<unsigned long long>(sum.bytes), key,
         static_cast<unsigned long long>(sum.hash));
}

// On one line, with \n, \r and \xNN.
void report_text(const char* key, const Stream& s) {
  if (s.text.empty() || s.in.bytes > kMaxText) return;
  printf("%s_text=", key);
  for (const char c : s.text) {
    if (c == '\n' || c == '\r')
      fputs(c == '\n' ? "\\n" : "\\r", stdout);
    else if (c < ' ' || c > '~')
      printf("\\x%02x", static_cast<unsigned char>(c));
    else
      putchar(c);
  }
  putchar('\n');
}

int reap() {
  int status = 0;
  waitpid(g_command, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// What a reader finds that looks only once the end is seen, without waiting.
void read_rest() {
  for (Stream* s : {&g_in, &g_out, &g_err, &g_tty})
    while (s->fd >= 0 && s->reads && !s->stopped && read_from(*s)) {
    }
}

void serve(const std::string& pid_file) {
  int watched = open_pid(g_command);
  for (;;) {
    while (!g_steps.empty() && do_step(g_steps.front())) g_steps.pop_front();
    std::vector<pollfd> polled = {{watched, POLLIN, 0}, {g_console_listener, POLLIN, 0}};
    Stream* streams[] = {&g_in, &g_out, &g_err, &g_tty};
    for (Stream* s : streams) {
      short events = 0;
      if (s->reads && !s->stopped) events |= POLLIN;
      if (s->fd >= 0 && (has_to_write(*s) || s->close_when_written)) events |= POLLOUT;
      polled.push_back({events ? s->fd : -1, events, 0});
    }
    if (poll(polled.data(), polled.size(), -1) < 0) die("poll");
    for (size_t i = 0; i < 4; ++i) {
      Stream& s = *streams[i];
      const short revents = polled[i + 2].revents;
      if (revents & POLLOUT || (revents & POLLERR && !s.reads)) write_to(s);
      if (s.fd >= 0 && s.reads && !s.stopped && revents & (POLLIN | POLLHUP | POLLERR)) read_from(s);
    }
    if (polled[1].revents) receive_console();
    if (!polled[0].revents) continue;
    if (g_code < 0) {
      g_code = reap();
      printf("exit=%d\n", g_code);
      if (g_code == 0 && !pid_file.empty()) {
        close(watched);
        watched = open_pid(pid_in(pid_file));
        if (g_console_listener >= 0) receive_console();
        for (Stream* s : streams)
          if (s->fd >= 0) fcntl(s->fd, F_SETFL, fcntl(s->fd, F_GETFL) | O_NONBLOCK);
        continue;
      }
    }
    break;
  }
  read_rest();
}

void report_terminal() {
  termios now{};
  if (g_slave < 0 || tcgetattr(g_slave, &now) != 0) return;
  const bool same = now.c_iflag == g_before.c_iflag && now.c_oflag == g_before.c_oflag &&
                    now.c_lflag == g_before.c_lflag && now.c_cflag == g_before.c_cflag;
  printf("terminal=%s\n", same ? "restored" : "changed");
}

}  // namespace

int main(int argc, char** argv) {
  std::string in = "null", out = "null", err = "null", tty_size, console, pid_file;
  bool in_given = false, out_given = false, err_given = false;
  for (int o; (o = getopt(argc, argv, "+0:1:2:t:c:p:s:")) != -1;) {
    const std::string a = optarg ? optarg : "";
    if (o == '0') in = a, in_given = true;
    if (o == '1') out = a, out_given = true;
    if (o == '2') err = a, err_given = true;
    if (o == 't') tty_size = a;
    if (o == 'c') console = a;
    if (o == 'p') pid_file = a;
    if (o == 's') g_steps.push_back({a.substr(0, a.find(':')), a.substr(a.find(':') + 1)});
    if (o == '?') return 99;
  }
  signal(SIGPIPE, SIG_IGN);
  if (!tty_size.empty()) {
    open_tty(tty_size);
    if (!in_given) in = "tty";
    if (!out_given) out = "tty";
    if (!err_given) err = "tty";
  }
  if (!console.empty())
    g_console_listener = checked(unix_socket::listen_at((g_console_path = console).c_str()), console);
  const int child_in = open_in(in), child_out = open_out(out, g_out, child_in, -1);
  const int child_err = open_out(err, g_err, child_in, child_out);
  while (!g_steps.empty() && g_steps.front().verb == "stop") {
    do_step(g_steps.front());
    g_steps.pop_front();
  }
  g_command = start(argv + optind, child_in, child_out, child_err);
  for (int fd : {child_in, child_out, child_err})
    if (fd >= 0) close(fd);  // one may be there twice
  for (Stream* s : {&g_in, &g_out, &g_err, &g_tty})
    if (s->fd >= 0) fcntl(s->fd, F_SETFL, fcntl(s->fd, F_GETFL) | O_NONBLOCK);
  serve(pid_file);
  report("in", g_in.out);
  report("back", g_in.in);  // of a socket that is stdout, too
  report("out", g_out.in);
  report("err", g_err.in);
  report("tty", g_tty.in);
  report_text("back", g_in);
  report_text("out", g_out);
  report_text("err", g_err);
  report_text("tty", g_tty);
  printf("in_end=%s\nout_end=%s\nerr_end=%s\ntty_end=%s\nsteps_left=%zu\n", g_in.end.c_str(),
         g_out.end.c_str(), g_err.end.c_str(), g_tty.end.c_str(), g_steps.size());
  report_terminal();
  return 0;
}
