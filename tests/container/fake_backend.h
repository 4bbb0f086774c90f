// A backend without a machine: it remembers what it was asked for, and "processes" are what the test says
// they are.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "libcontainer/base/error.h"
#include "libcontainer/container/backend.h"

namespace husk::test {

class FakeBackend : public Backend {
 public:
  std::vector<std::string> calls;
  std::map<std::string, Status> states;
  pid_t pid = 4242;
  std::string fail_on;  // the call that throws
  std::function<void(const std::string& call)> on_call;

  pid_t create(const CreateArgs& args) override {
    note("create", args.container);
    stdio = args.stdio;
    preserve_fds = args.preserve_fds;
    args.on_runtime_created(pid);
    states[args.container.id] = Status::kCreated;
    return pid;
  }
  void start(const ContainerRef& c, std::chrono::seconds) override {
    note("start", c);
    states[c.id] = Status::kRunning;
  }
  pid_t exec(const ExecArgs& args) override {
    note("exec", args.container);
    return pid;
  }
  Status status(const ContainerRef& c) override {
    const auto it = states.find(c.id);
    return it == states.end() ? Status::kStopped : it->second;
  }
  void kill(const ContainerRef& c, int signal, bool all) override {
    note("kill " + std::to_string(signal) + (all ? " all" : ""), c);
  }
  void pause(const ContainerRef& c) override {
    note("pause", c);
    states[c.id] = Status::kPaused;
  }
  void resume(const ContainerRef& c) override {
    note("resume", c);
    states[c.id] = Status::kRunning;
  }
  void update(const ContainerRef& c, const spec::Resources&) override { note("update", c); }
  nlohmann::json stats(const ContainerRef& c) override {
    note("stats", c);
    return nlohmann::json::object();
  }
  std::vector<ProcessRow> processes(const ContainerRef& c) override {
    note("processes", c);
    return {};
  }
  std::vector<pid_t> host_pids(const ContainerRef& c) override {
    note("host_pids", c);
    return {pid};
  }
  void remove(const ContainerRef& c) override {
    note("remove", c);
    states.erase(c.id);
  }

  HostStdio stdio;
  std::vector<int> preserve_fds;

 private:
  void note(const std::string& call, const ContainerRef& c) {
    calls.push_back(call + " " + c.id);
    if (on_call) on_call(call);
    if (call == fail_on) throw Error(ErrorKind::kInternal, call + " failed");
  }
};

}  // namespace husk::test
