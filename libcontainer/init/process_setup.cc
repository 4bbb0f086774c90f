#include "libcontainer/init/process_setup.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>

#include "libcontainer/base/trace.h"
#include "libcontainer/init/listener.h"
#include "libcontainer/linux/attributes.h"
#include "libcontainer/linux/capabilities.h"
#include "libcontainer/linux/rlimits.h"
#include "libcontainer/linux/seccomp.h"
#include "libcontainer/linux/text.h"
#include "libcontainer/linux/user.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4
#endif

namespace husk {
namespace {

const std::string* find_env(const std::vector<std::string>& env, std::string_view name) {
  const std::string* found = nullptr;  // the last one wins, as with a shell's
  for (const std::string& entry : env)
    if (entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=') found = &entry;
  return found;
}

// Of what is set twice the last one: exec --env comes behind the container's own, but most programs take the
// first that they find.
std::vector<std::string> without_overridden(const std::vector<std::string>& in) {
  std::vector<std::string> out;
  for (const std::string& entry : in) {
    const std::string* last = find_env(in, std::string_view(entry).substr(0, entry.find('=')));
    if (!last || last == &entry) out.push_back(entry);
  }
  return out;
}

std::vector<std::string> make_env(const spec::Process& process) {
  std::vector<std::string> env = without_overridden(process.env);
  const std::string* home = find_env(env, "HOME");
  if (home && *home != "HOME=") return env;
  if (home) std::erase(env, *home);
  env.push_back("HOME=" + home_of(process.user.uid));
  return env;
}

[[noreturn]] void fail_lookup(const std::string& name, const std::string& why, int errnum) {
  ErrorKind kind = errnum == EACCES ? ErrorKind::kPermission : ErrorKind::kNotFound;
  throw Error(kind, "exec: \"" + name + "\": " + why, errnum);
}

// 0, or why this file cannot be executed by us.
int check_executable(const std::string& path, bool& exists) {
  struct stat st;
  exists = stat(path.c_str(), &st) == 0;
  if (!exists) return errno;
  if (S_ISDIR(st.st_mode)) return EISDIR;
  if (faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0) return 0;
  // The container's filter is in force by now, and may answer a call that it doesn't know with EPERM.
  if (errno == EPERM && access(path.c_str(), X_OK) == 0) return 0;
  return errno;
}

// True when done; EACCES is left for a second try as the user.
bool change_folder(const std::string& cwd, bool last_try) {
  if (chdir(cwd.c_str()) == 0) return true;
  if (!last_try && (errno == EACCES || errno == EPERM)) return false;
  int err = errno;
  throw_errno("chdir to cwd (\"" + printable(cwd) + "\") set in config.json failed", err);
}

// A folder that came from a leaked fd of the outside has no name in our root (CVE-2024-21626).
void check_folder() {
  char buf[PATH_MAX];
  long n = syscall(SYS_getcwd, buf, sizeof buf);
  if (n <= 0 && errno == ENOENT)
    throw Error(ErrorKind::kPermission, "current working directory is not there", ENOENT);
  if (n <= 0) throw_errno("getcwd");
  if (buf[0] != '/')
    throw Error(ErrorKind::kPermission,
                "current working directory is outside of container mount namespace root", EPERM);
}

// Nothing of ours, and nothing that is preserved for the program, reaches a hook. What is opened later closes
// anyway.
void close_fds_on_exec() {
  check(syscall(SYS_close_range, kControlFd, ~0U, CLOSE_RANGE_CLOEXEC), "close_range");
}

// From here on only system calls that every program needs: the filter may refuse the others.
void load_filter(InitRequest& r) {
  if (!r.linux_().seccomp) return;
  const unsigned flags = parse_seccomp_flags(r.linux_().seccomp->flags);
  if (!r.listener) return load_seccomp(r.seccomp, flags);
  prepare_listener(r);
  hand_over(r, load_seccomp_with_listener(r.seccomp, flags));
}

// Before the capabilities go, without no_new_privs: CAP_SYS_ADMIN is needed. With it the filter can come as
// late as possible, but that its listener's agent should not be kept waiting until the start.
bool loads_filter_early(const InitRequest& r) {
  return !r.process().no_new_privileges || r.listener;
}

std::vector<char*> c_strings(const std::vector<std::string>& in) {
  std::vector<char*> out;
  for (const std::string& s : in) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

}  // namespace

void prepare_seccomp(InitRequest& r) {
  if (!r.linux_().seccomp || !r.seccomp.empty()) return;
  r.seccomp = compile_seccomp(*r.linux_().seccomp, static_cast<bool>(r.listener));
  r.new_seccomp = write_memfd(r.seccomp);
}

void apply_outer_attributes(const InitRequest& r) {
  const spec::Process& p = r.process();
  raise_hard_limits(p.rlimits);
  if (p.oom_score_adj) apply_oom_score_adj(*p.oom_score_adj);
  if (p.scheduler && !is_lost_by_fork(*p.scheduler)) apply_scheduler(*p.scheduler);
  if (p.io_priority) apply_io_priority(*p.io_priority);
  if (p.exec_cpu_affinity && r.is_exec) apply_cpu_affinity(p.exec_cpu_affinity->initial);
}

std::string find_program(const std::string& name, const std::vector<std::string>& env) {
  bool exists = false;
  if (name.find('/') != std::string::npos) {
    int err = check_executable(name, exists);
    if (err == 0) return name;
    if (err == EISDIR) fail_lookup(name, "is a directory", EACCES);  // engines take it as 126
    std::string why = err == ENOENT   ? "no such file or directory"
                      : err == EACCES ? "permission denied"
                                      : strerror(err);
    fail_lookup(name, exists ? why : "stat " + name + ": " + why, err);
  }
  const std::string* path = find_env(env, "PATH");
  if (path && !name.empty()) {
    for (std::string_view dir : split(std::string_view(*path).substr(5), ':')) {
      std::string file = (dir.empty() ? "." : std::string(dir)) + "/" + name;
      if (check_executable(file, exists) == 0) return file;
    }
  }
  fail_lookup(name, "executable file not found in $PATH", ENOENT);
}

Program become_process(InitRequest& r) {
  trace::Span span("user");
  const spec::Process& p = r.process();
  Program program;
  program.env = make_env(p);
  if (r.linux_().personality) apply_personality(*r.linux_().personality);
  if (p.scheduler && is_lost_by_fork(*p.scheduler)) apply_scheduler(*p.scheduler);
  give_stdio(p.user.uid);
  CapabilitySets sets = parse_capabilities(p.capabilities.value_or(spec::Capabilities()), r.warnings);
  apply_rlimits(p.rlimits);
  close_fds_on_exec();
  // A folder that the user cannot reach may be fine for root, and the other way round: the first who can,
  // does.
  // The filter may refuse getcwd, so that what can be looked at before it is.
  bool there = change_folder(p.cwd, false);
  if (there) check_folder();
  const bool early = loads_filter_early(r);
  if (early) load_filter(r);
  drop_bounding_set(sets);
  apply_user(p.user);
  apply_capabilities(sets);
  if (!there) {
    change_folder(p.cwd, true);
    check_folder();
  }
  if (p.no_new_privileges) check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS");
  program.file = find_program(p.args.empty() ? "" : p.args[0], program.env);
  program.filtered = early;
  return program;
}

void stand_at_gate(InitRequest& r, const Program& program) {
  // As pid 1 of a pid namespace the default action of a signal would be nothing at all; a `kill` of a created
  // container has to end it. execve(2) sets them back.
  for (int s : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGABRT, SIGALRM})
    signal(s, [](int number) { _exit(128 + number); });
  // From here on the parent's end is seen as EOF. The death signal has to go: it is sent when the *thread*
  // that spawned us ends, and start() may be called by another one much later.
  check(prctl(PR_SET_PDEATHSIG, 0), "PR_SET_PDEATHSIG");
  send_ready(r, r.terminal.master.get());
  wait_for_start(r);
  r.started_ns = trace::now();
  if (!program.filtered) load_filter(r);
}

void execute(InitRequest& r, const Program& program) {
  if (r.trace) trace::add_span("start", r.started_ns, trace::now());
  send_trace(r);
  const spec::Process& p = r.process();
  std::vector<char*> args = c_strings(p.args), env = c_strings(program.env);
  if (p.exec_cpu_affinity && r.is_exec) apply_cpu_affinity(p.exec_cpu_affinity->final);
  for (int i = 0; i < r.preserved; ++i) check(fcntl(kControlFd + i, F_SETFD, 0), "fcntl of a preserved fd");
  execve(program.file.c_str(), args.data(), env.data());
  int err = errno;
  std::string why = err == EACCES   ? "permission denied"
                    : err == ENOENT ? "no such file or directory"
                                    : strerror(err);
  if (err == ENOEXEC) why = "exec format error";
  throw Error(err == EACCES || err == ENOEXEC ? ErrorKind::kPermission : ErrorKind::kNotFound,
              "exec " + program.file + ": " + why, err);
}

}  // namespace husk
