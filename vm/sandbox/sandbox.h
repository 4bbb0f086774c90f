// A VM and the containers in it: the recipe of create, and what every later request does. Lives in
// husk-sandbox.
#pragma once

#include <condition_variable>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent/client/agent_client.h"
#include "libcontainer/base/message.h"
#include "libcontainer/container/backend.h"
#include "vm/machine.h"
#include "vm/sandbox/connections.h"
#include "vm/sandbox/console.h"
#include "vm/sandbox/control.h"
#include "vm/sandbox/disks.h"
#include "vm/sandbox/guest_clock.h"
#include "vm/sandbox/networks.h"
#include "vm/sandbox/relay.h"
#include "vm/sandbox/relay_ends.h"
#include "vm/sandbox/volume_changes.h"
#include "vm/share/share.h"

namespace husk::vm {

class Sandbox {
 public:
  // Starts virtiofsd and QEMU and returns while the guest boots. From the main thread, before any other
  // thread.
  explicit Sandbox(BootRequest boot);
  ~Sandbox();

  // Until the guest has answered and mounted the share. Throws what went wrong.
  void wait_for_guest();
  // For one that waited in the pool: from here on it is the VM of this container. A new greeting brings the
  // guest entropy, and the time. Throws.
  void take(const BootRequest& boot);
  std::vector<pid_t> pids();  // our own, QEMU's, virtiofsd's

  // One request of the control socket (or of the creator), from any thread. Throws Error.
  Json handle(Message& request);

  // A request and its answer: while there is one, the VM does not end because nothing lives in it any more.
  class Busy {
   public:
    explicit Busy(Sandbox& sandbox);
    ~Busy();
    Busy(const Busy&) = delete;

   private:
    Sandbox& sandbox_;
  };

  // The main thread's loop asks and does these.
  Console* console() { return console_.get(); }
  int vmm_pidfd() const { return machine_->pidfd(); }
  int share_pidfd() const { return share_->pidfd(); }
  int wake_fd() const { return wake_.get(); }  // readable: call tend()
  // Takes out relays that have finished; does not wait. True when the VM has nothing left to do and should
  // end.
  bool tend();
  // The husk that wanted this container is gone before it had its answer.
  void forsake(const std::string& id) noexcept;
  bool is_only(const std::string& id);
  void vmm_died();    // QEMU has ended by itself: every process in it is reported as killed
  void share_died();  // virtiofsd has: a VM without its files is of no use to anybody, so QEMU is ended
  // Orderly end: guest synced, QEMU and virtiofsd gone, network unspliced. Idempotent; never throws.
  void end() noexcept;

 private:
  struct ProcessEntry {
    std::unique_ptr<Relay> relay;
    pid_t shim = 0;
    bool exited = false, complete = false, finished = false;  // as Relay::Handlers
  };
  struct Container {
    Status status = Status::kCreating;
    std::map<std::string, ProcessEntry> processes;  // "" is init
    bool takes_all = false;                         // its end is the VM's: a pod's sandbox
    std::string network;                            // what Networks calls its namespace
    bool over() const;
  };

  bool resume_machine();
  void meet_agent();
  std::future<void> plug_share();
  bool boot_guest();
  void add_container(const std::string& id, bool takes_all);
  void add_mounts(const Json& body, std::vector<UniqueFd>& fds);
  std::vector<AgentClient::Device> plug_devices(const std::string& id, const Json& wanted,
                                                std::vector<UniqueFd>& fds);
  void add_connections(const Json& body, std::vector<UniqueFd>& fds);
  void leave_network(const std::string& key);
  void leave_disks(const std::string& id);
  Json create(const Json& body, std::vector<UniqueFd>& fds);  // {"warnings"}
  void exec(const Json& body, std::vector<UniqueFd>& fds);
  void kill(const std::string& id, int signal, bool all);
  void set_paused(const std::string& id, bool paused);
  void remove(const std::string& id);
  void list_processes(const std::string& id, int file);
  Json list_shims(const std::string& id);
  Json status(const std::string& id);
  // Begins to relay.
  void relay(const std::string& id, const std::string& process_id, std::unique_ptr<AttachStream> stream,
             ProcessFds fds, pid_t shim);
  // Calls it with the process's relay, where there is one.
  template <typename F>
  void with_relay(const std::string& id, const std::string& process_id, F&& use);
  void start(const std::string& id, std::chrono::seconds hooks);
  bool on_signal(const std::string& id, int signal, bool all);
  static void end_relays(std::map<std::string, ProcessEntry>& processes);
  void watch_volumes(const std::string& id) noexcept;
  void collect_trace() noexcept;
  std::string heir();
  void on_exited(const std::string& id, const std::string& process_id);
  void on_complete(const std::string& id, const std::string& process_id);
  void on_finished(const std::string& id, const std::string& process_id);
  Container& find(const std::string& id);  // with mutex_ held
  void require(const std::string& id, std::initializer_list<Status> allowed, const std::string& refusal);
  void explain_guest_death(Error& error);
  void require_share();  // with plug_mutex_ held
  bool guest_lives();
  bool any_lives();   // any container
  bool idle() const;  // with mutex_ held
  void wake();

  BootRequest boot_;
  UniqueFd folder_;  // it may be renamed
  UniqueFd wake_;
  std::unique_ptr<Share> share_;
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Console> console_;
  std::unique_ptr<AgentClient> agent_;
  std::unique_ptr<Connections> connections_;
  std::unique_ptr<VolumeChanges> changes_;
  std::unique_ptr<RelayEnds> relay_ends_;
  std::unique_ptr<GuestClock> clock_;
  std::thread boot_thread_;  // boots, and follows the clock
  bool resumed_ = false;     // from a template

  std::mutex mutex_;  // guards what follows
  std::condition_variable booted_changed_;
  bool booted_ = false, vmm_dead_ = false, ended_ = false, end_asked_ = false;
  std::unique_ptr<Error> boot_error_;
  std::map<std::string, Container> containers_;
  unsigned next_process_ = 1;
  unsigned busy_ = 0;
  bool had_container_ = false;

  // One thread at a time touches machine_ and share_. Taken before mutex_; never held while we wait for the
  // guest.
  std::mutex plug_mutex_;
  std::unique_ptr<Networks> networks_;
  std::unique_ptr<Disks> disks_;
};

}  // namespace husk::vm
