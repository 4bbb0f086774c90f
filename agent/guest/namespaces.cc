#include "agent/guest/namespaces.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <exception>
#include <thread>

#include "libcontainer/base/error.h"
#include "libcontainer/linux/namespaces.h"
#include "libcontainer/linux/netlink.h"

namespace husk::guest {
namespace {

using spec::NamespaceType;

// A thread that lives in the new namespace until we hold it.
UniqueFd make_namespace(NamespaceType type) {
  UniqueFd made;
  std::exception_ptr failure;
  const std::string name = namespace_file(type);
  std::thread([&] {
    try {
      check(unshare(namespace_flag(type)), "making a namespace (" + name + ")");
      if (type == NamespaceType::kNetwork) set_link_up("lo");
      made = open_file("/proc/thread-self/ns/" + name, O_RDONLY);
    } catch (...) {
      failure = std::current_exception();
    }
  }).join();
  if (failure) std::rethrow_exception(failure);
  return made;
}

}  // namespace

int NamedNamespaces::fd(NamespaceType type, const std::string& key) {
  const bool network = type == NamespaceType::kNetwork;
  if (key.empty() || !(network || type == NamespaceType::kIpc || type == NamespaceType::kUts))
    throw Error(ErrorKind::kInvalid, std::string("no ") + namespace_file(type) + " namespace by that name");
  std::lock_guard lock(mutex_);
  if (network && own_network_.empty()) own_network_ = key;
  if (network && own_network_ == key) return -1;
  auto found = namespaces_.find({type, key});
  if (found != namespaces_.end()) return found->second.get();
  if (namespaces_.size() >= kMaxNamespaces)
    throw Error(ErrorKind::kInternal, "too many namespaces in one guest");
  return namespaces_.emplace(std::pair(type, key), make_namespace(type)).first->second.get();
}

int NamedNamespaces::network(const std::string& key) {
  return fd(NamespaceType::kNetwork, key);
}

std::string NamedNamespaces::path(NamespaceType type, const std::string& key) {
  int found = fd(type, key);
  return found < 0 ? "" : "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(found);
}

}  // namespace husk::guest
