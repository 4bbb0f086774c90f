// What file_checks.cc says its checks in: calls that have to succeed, or to fail with a certain errno.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>

namespace file_checks {

using std::string;

[[noreturn]] inline void fail(const string& what) {
  throw std::runtime_error(what);
}
// A call's result; what failed, with errno's name.
template <typename T>
T done(T result, const char* what) {
  if (result == static_cast<T>(-1)) fail(string(what) + ": " + strerrorname_np(errno));
  return result;
}
inline void expect(bool holds, const char* what) {
  if (!holds) fail(string("not so: ") + what);
}
// The call has to fail with that.
template <typename T>
void refused(T result, int with, const char* what) {
  if (result != static_cast<T>(-1)) fail(string(what) + ": was not refused");
  if (errno != with) fail(string(what) + ": " + strerrorname_np(errno) + ", wanted " + strerrorname_np(with));
}

struct Fd {
  int fd;
  explicit Fd(int open_fd) : fd(done(open_fd, "open")) {}
  Fd(const Fd&) = delete;
  ~Fd() { close(fd); }
  operator int() const { return fd; }
};

inline Fd create(const char* name, int flags = O_RDWR | O_CREAT | O_EXCL, mode_t mode = 0644) {
  return Fd(open(name, flags, mode));
}
inline void put(int fd, const string& text) {
  expect(done(write(fd, text.data(), text.size()), "write") == static_cast<ssize_t>(text.size()),
         "whole writes");
}
inline string at_start(int fd, size_t most = 4096) {
  string text(most, 0);
  text.resize(static_cast<size_t>(done(pread(fd, text.data(), most, 0), "pread")));
  return text;
}
inline string content(const char* name) {
  return at_start(Fd(open(name, O_RDONLY)));
}
inline struct stat status(int fd) {
  struct stat st;
  done(fstat(fd, &st), "fstat");
  return st;
}
inline struct stat status(const char* name) {
  struct stat st;
  done(lstat(name, &st), name);
  return st;
}

// f in a process of its own, which has to succeed. go_on: while that runs.
inline void in_child(const std::function<void()>& f, const std::function<void()>& go_on = {}) {
  int words[2];
  done(pipe(words), "pipe");
  const pid_t pid = done(fork(), "fork");
  if (pid == 0) {
    string why;
    try {
      f();
    } catch (const std::exception& e) {
      why = string("in a child: ") + e.what();
    }
    (void)!write(words[1], why.data(), why.size());
    _exit(0);
  }
  close(words[1]);
  if (go_on) go_on();
  Fd end(words[0]);
  char why[256];
  const ssize_t n = done(read(end, why, sizeof why), "read");
  waitpid(pid, nullptr, 0);
  if (n > 0) fail(string(why, static_cast<size_t>(n)));
}
inline void as_user(const std::function<void()>& f) {
  in_child([&] {
    done(setgid(1001), "setgid");
    done(setuid(1000), "setuid");
    f();
  });
}

}  // namespace file_checks
