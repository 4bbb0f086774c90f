// All containers of this guest, and the guest itself as the host sees it. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/guest/connections.h"
#include "agent/guest/container.h"
#include "agent/guest/namespaces.h"
#include "agent/guest/network.h"
#include "agent/guest/notifier.h"
#include "agent/guest/spare_cgroup.h"

namespace husk::guest {

inline constexpr size_t kMaxContainers = 1024;

class Guest {
 public:
  Guest(Reaper& reaper, InitProgram& init_program) : reaper_(reaper), init_program_(init_program) {}

  // For a template: what the first container would otherwise wait for. What goes wrong is logged, it waits
  // then.
  void prepare() noexcept;
  // Returns warnings: what this kernel cannot honour.
  std::vector<std::string> create_container(ContainerOptions options);
  // Throws kNotFound.
  std::shared_ptr<Container> container(const std::string& id) const;
  std::vector<std::shared_ptr<Container>> containers() const;
  void remove_container(const std::string& id);

  void mount_share(const std::string& tag, bool plugged_late);
  void configure_network(const std::string& network, const std::vector<Card>& cards);
  void unplug(const std::string& port) { network_.unplug(port); }
  // network: as for configure_network.
  Listener listen(const LoopbackPort& port, const std::string& network);
  // False: nobody watches it. Throws kUnsupported.
  bool notify_change(const std::string& volume, const std::string& path, uint32_t mask);
  Connections& connections() { return connections_; }
  // Kills everything and syncs; goes on past what fails, which is logged.
  void shutdown() noexcept;

 private:
  Reaper& reaper_;
  InitProgram& init_program_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Container>> containers_;  // null while one is being made
  SpareCgroup spare_cgroup_;
  NamedNamespaces namespaces_;
  Network network_;
  SharedMemories memories_;
  Volumes volumes_;
  Notifier notifier_;
  Connections connections_;
};

}  // namespace husk::guest
