#include "agent/guest/guest.h"

#include <unistd.h>

#include "agent/guest/guest_config.h"
#include "agent/guest/log.h"
#include "agent/guest/storage.h"
#include "libcontainer/base/error.h"

namespace husk::guest {

void Guest::prepare() noexcept {
  try {
    prepare_share();
    Reaper::Hold hold(reaper_);
    spare_cgroup_.make(init_program_);
  } catch (const std::exception& e) {
    log_warning(std::string("preparing the first container: ") + e.what());
  }
}

std::vector<std::string> Guest::create_container(ContainerOptions options) {
  options.held = localize_config(
      options.config, [this](const std::string& id) { return container(id)->pid(); }, namespaces_, memories_,
      volumes_);
  options.numbers = localize_devices(options.config, options.devices, options.all_devices);
  const std::string id = options.id;
  {
    std::lock_guard lock(mutex_);
    if (containers_.count(id)) throw Error(ErrorKind::kExists, "container " + id + " exists");
    if (containers_.size() >= kMaxContainers)
      throw Error(ErrorKind::kInternal, "too many containers in one guest");
    containers_[id];  // the id is taken
  }
  try {
    if (std::optional<SpareCgroup::Spare> spare = spare_cgroup_.take(options.config)) {
      options.cgroup = std::move(spare->cgroup);
      options.held.push_back(std::move(spare->ipc_namespace));
    }
    std::vector<std::string> warnings;
    std::shared_ptr<Container> made = Container::create(reaper_, init_program_, std::move(options), warnings);
    std::lock_guard lock(mutex_);
    containers_[id] = std::move(made);
    return warnings;
  } catch (...) {
    std::lock_guard lock(mutex_);
    containers_.erase(id);
    throw;
  }
}

std::shared_ptr<Container> Guest::container(const std::string& id) const {
  std::lock_guard lock(mutex_);
  auto it = containers_.find(id);
  if (it == containers_.end() || !it->second)
    throw Error(ErrorKind::kNotFound, "container " + id + " does not exist");
  return it->second;
}

std::vector<std::shared_ptr<Container>> Guest::containers() const {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Container>> out;
  for (const auto& [id, container] : containers_)
    if (container) out.push_back(container);
  return out;
}

void Guest::remove_container(const std::string& id) {
  const std::shared_ptr<Container> gone = container(id);  // what it takes to let go of it takes no lock
  gone->remove();
  std::lock_guard lock(mutex_);
  containers_.erase(id);
}

void Guest::mount_share(const std::string& tag, bool plugged_late) {
  guest::mount_share(tag, plugged_late);
}

void Guest::configure_network(const std::string& network, const std::vector<Card>& cards) {
  network_.configure(namespaces_.network(network), cards);
}

Listener Guest::listen(const LoopbackPort& port, const std::string& network) {
  return Listener(port, namespaces_.network(network));
}

bool Guest::notify_change(const std::string& volume, const std::string& path, uint32_t mask) {
  const std::shared_ptr<Volume> held = volumes_.find(volume);
  return held && notifier_.notify(volume, path, mask);
}

void Guest::shutdown() noexcept {
  auto attempt = [](auto&& step) {
    try {
      step();
    } catch (const std::exception& e) {
      log_warning(std::string("shutdown: ") + e.what());
    }
  };
  for (const auto& container : containers()) attempt([&] { remove_container(container->id()); });
  sync();
}

}  // namespace husk::guest
