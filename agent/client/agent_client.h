// husk-sandbox's view of the agent: agent.proto with husk's types and errors. Thread-safe. Every call has a
// deadline (libcontainer/base/deadlines.h) and throws Error with the guest's kind, errno and words;
// kGuestDied when the connection is gone.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "agent/client/connections.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/base/process.h"
#include "libcontainer/base/trace.h"
#include "libcontainer/linux/netlink.h"
#include "spec/config.h"

namespace husk {

// One process's standard streams. read() in one thread at a time, write_stdin() in one other; the rest from
// any thread. write_stdin() waits while the guest's process does not take its input (wire::kStdinWindow is on
// the way): it goes on when read() sees that some was taken, so keep reading. The guest sends no more output
// than wire::kOutputWindow of each stream (and wire::kMaxRest at its process's end) until it is told that
// some was taken; read() throws kInvalid if it does.
class AttachStream {
 public:
  enum class Event { kStdout, kStderr, kStdoutEof, kStderrEof, kExited, kStdinClosed };
  struct Output {
    Event event = Event::kExited;
    std::string data;   // of kStdout, kStderr
    ExitStatus status;  // of kExited
    bool oom_killed = false;
  };
  virtual ~AttachStream() = default;
  // Blocks; false when the stream has ended in order (after kExited and both EOFs). Throws when the guest is
  // gone.
  virtual bool read(Output& out) = 0;
  // These return false once the stream is over (the process has ended); they don't throw.
  virtual bool write_stdin(std::string_view data) = 0;  // any size; cut into chunks
  virtual bool close_stdin() = 0;
  virtual bool resize(unsigned rows, unsigned columns) = 0;
  virtual bool close_stdout() = 0;
  virtual bool close_stderr() = 0;
  // So much of what read() gave has been passed on, or thrown away. Not from read()'s thread: a guest that
  // waits for its output to be read may not read either.
  virtual bool stdout_taken(size_t bytes) = 0;
  virtual bool stderr_taken(size_t bytes) = 0;
  // Makes a blocked read() and write return; safe from any thread.
  virtual void cancel() = 0;
};

struct WindowSize {
  unsigned rows = 0, columns = 0;
};

struct GuestProcess {
  pid_t pid = 0, ppid = 0;
  uint32_t uid = 0;
  int64_t start_seconds = 0, cpu_milliseconds = 0;
  uint64_t virtual_kib = 0, resident_kib = 0;
  std::string tty, state, command;
};

struct GuestContainer {
  std::string id, status;  // created, running, paused, stopped
  pid_t pid = 0;           // in the guest
};

// What has happened to a file of a volume (agent.proto).
struct FileChange {
  std::string volume, path;
  uint32_t mask = 0;
};

class AgentClient {
 public:
  // The end of the port "husk.agent".
  explicit AgentClient(UniqueFd socket);
  ~AgentClient();

  struct Hello {
    std::string kernel_release, agent_version;
  };
  // Waits for the guest to boot (deadline::kGuestBoot). Sends entropy and the time. Throws kUnsupported on
  // another protocol.
  // Has the guest keep spans where this process does.
  Hello hello(const std::string& hostname, const std::string& log_level);

  // plugged_late: after the guest's kernel looked for devices. Sets the guest's clock as well: by the time
  // that it had from hello() it had not booted.
  void mount_share(const std::string& tag, bool plugged_late);
  // Tells the time and does not wait. The guest corrects what is no matter of the message's own way.
  void follow_clock();
  struct Card {
    std::string port;  // PCI address in the guest
    Interface interface;
    std::optional<Interface> before;  // as it was the last time; none: it is new
  };
  // network: the KEY of the namespace "husk-ns:KEY" (agent.proto).
  void configure_network(const std::string& network, const std::vector<Card>& cards);
  // A card or a disk.
  void unplug(const std::string& port);

  // Where a device of the config comes from (agent.proto).
  struct Device {
    std::string path, name, port;
  };
  struct CreateOptions {
    std::string bundle;
    bool no_pivot = false, no_new_keyring = false;
    bool one_output = false;  // stderr is stdout's pipe
    std::vector<Device> devices;
    bool all_devices = false;
  };
  struct Created {
    std::unique_ptr<AttachStream> stream;
    std::vector<std::string> warnings;  // what the guest's kernel cannot honour
  };
  // Up to the gate that start_container() opens.
  Created create_container(const std::string& id, const spec::Config& config, const CreateOptions& options);
  // size: the terminal's from the first moment. hooks: how long its startContainer hooks may take.
  void start_container(const std::string& id, const std::optional<WindowSize>& size,
                       std::chrono::seconds hooks = {});
  struct ExecOptions {
    std::string cgroup;  // a path below the container's own, or empty
    bool ignore_paused = false, one_output = false;
    std::optional<WindowSize> size;
  };
  // One more process in it, which has started when this returns. process_id: a new one, for signal_process().
  std::unique_ptr<AttachStream> exec(const std::string& id, const std::string& process_id,
                                     const spec::Process& process, const ExecOptions& options);
  // Sends it on its way, as kill(2) does: to a process that has just ended it is nothing. In the order of the
  // calls.
  void signal_process(const std::string& id, const std::string& process_id, int signal);
  // To all of the container's; returns when they have it.
  void signal_all(const std::string& id, int signal);
  void pause(const std::string& id);
  void resume(const std::string& id);
  std::vector<std::string> update(const std::string& id, const spec::Resources& resources);  // warnings
  nlohmann::json stats(const std::string& id);
  std::vector<GuestProcess> processes(const std::string& id);
  std::vector<GuestContainer> containers();
  void remove_container(const std::string& id);
  // What the guest recorded since hello() or the last time, by the host's clock. pid and tid are the guest's.
  std::vector<trace::Event> take_trace();
  void shutdown();  // deadline::kGuestShutdown

  // Return once the guest listens there.
  std::unique_ptr<ListenStream> listen(const GuestSocket& socket);
  std::unique_ptr<ListenStream> listen(const GuestPort& port);
  // connection: of ListenStream::News. An unknown one ends at once.
  std::unique_ptr<CarryStream> carry(uint64_t connection);
  // Resets it instead. Does not wait.
  void refuse(uint64_t connection);

  // At most wire::kMaxChanges. False: nobody in the guest watches any of them. Throws kUnsupported where the
  // guest's kernel cannot tell.
  bool notify_changes(const std::vector<FileChange>& changes);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace husk
