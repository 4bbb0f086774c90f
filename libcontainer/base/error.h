// The one exception type of husk: what failed, on what, and why, in one line.
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace husk {

// What sort of failure it is. Nothing ever decides by matching an error's text: it looks at this.
enum class ErrorKind {
  kInternal,     // a failed system call, a broken assumption
  kInvalid,      // bad input: config, flags, id
  kNotFound,     // no such container, process, file
  kExists,       // the id is in use
  kWrongState,   // the container is not in a state that allows it
  kPermission,   // EPERM, EACCES
  kTimeout,      // a deadline passed
  kUnsupported,  // cannot work in a VM, or not with this kernel
  kGuestDied,    // QEMU or the guest is gone
};

const char* kind_name(ErrorKind kind);
// The inverse of kind_name; an unknown name (from a newer peer) is kInternal.
ErrorKind kind_from_name(std::string_view name);

// Thrown where it happens, caught at the three borders: main, a request's handler, a thread's top.
class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string message, int errnum = 0)
      : kind_(kind), errnum_(errnum), message_(std::move(message)) {}

  ErrorKind kind() const noexcept { return kind_; }
  // The errno behind it, or 0.
  int errnum() const noexcept { return errnum_; }
  // The whole chain, outermost context first: "mounting /data: open /x: No such file or directory".
  const char* what() const noexcept override { return message_.c_str(); }
  const std::string& message() const noexcept { return message_; }
  // Puts "context: " in front.
  void add_context(std::string_view context);

 private:
  ErrorKind kind_;
  int errnum_;
  std::string message_;
};

// Throws Error("what: strerror(errnum)") with the kind that fits the errno.
[[noreturn]] void throw_errno(std::string_view what, int errnum);
// The same with the current errno.
[[noreturn]] void throw_errno(std::string_view what);

// Returns a system call's result, or throws with errno when it is -1.
template <typename T>
T check(T result, std::string_view what) {
  if (result == static_cast<T>(-1)) throw_errno(what);
  return result;
}

// Runs f; an Error on its way out gets "context: " in front.
template <typename F>
decltype(auto) with_context(std::string_view context, F&& f) {
  try {
    return f();
  } catch (Error& e) {
    e.add_context(context);
    throw;
  }
}

// A text from outside (guest, config) made safe for a log line: control characters and invalid bytes as
// \xNN, cut at max bytes.
std::string printable(std::string_view text, size_t max = 512);
// A whole message made one line that moves no cursor: control characters as \xNN, all else as it is.
std::string one_line(std::string_view text);

}  // namespace husk
