// The guest's namespaces that stand for pinned ones of the host: who names the same key is in the same one.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "libcontainer/base/fd.h"
#include "spec/config.h"

namespace husk::guest {

inline constexpr size_t kMaxNamespaces = 1024;

// Thread-safe. What was made once stays as long as the guest, as a pinned one would.
class NamedNamespaces {
 public:
  // A path of the namespace, made when the key is new (network, ipc and uts only: throws kInvalid). Empty: it
  // is the guest's own, which the first network is.
  std::string path(spec::NamespaceType type, const std::string& key);
  // The network namespace's fd; -1: the guest's own.
  int network(const std::string& key);

 private:
  int fd(spec::NamespaceType type, const std::string& key);

  std::mutex mutex_;
  std::string own_network_;
  std::map<std::pair<spec::NamespaceType, std::string>, UniqueFd> namespaces_;
};

}  // namespace husk::guest
