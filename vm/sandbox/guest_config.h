// The host's config.json made the guest's: sources of bind mounts become paths below the share, namespaces of
// the host become names, block devices disks, what only the host can do is taken out. Runs in husk, where the
// engine's mounts are seen.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "spec/config.h"
#include "vm/sandbox/host_devices.h"
#include "vm/share/share.h"

namespace husk::vm {

// One mount of the container's part of the share.
struct SharedSource {
  std::string name, source;
  ShareKind kind;
  bool overlay = false;                               // source: mount(2)'s data
  std::vector<spec::IdMapping> uids = {}, gids = {};  // it is idmapped by these
  bool idmap_recursive = false;
  bool watched = false;  // the guest is told of changes on the host (volume_changes.h)
};

// A mount of a unix stream socket: the guest's connections to it are carried (connections.h).
struct SocketSource {
  std::string destination, source;
};

struct GuestConfig {
  spec::Config config;
  std::vector<SharedSource> shared;
  VmDevices devices;
  std::vector<SocketSource> sockets;  // in the order of their "husk-socket:ID/INDEX"
  std::string resolv_conf;            // the source of the mount at /etc/resolv.conf, or empty
  std::vector<std::string> warnings;  // what a VM cannot honour
};

struct GuestConfigArgs {
  std::string id, rootfs, bundle;
  std::string netns;    // the container's network namespace on the host, open or by path
  bool inotify = true;  // the option
  // The id of the running container whose husk-shim has this pid, or empty.
  std::function<std::string(pid_t)> container_of;
};
// Makes mount points in a read-only rootfs. Throws.
GuestConfig make_guest_config(const spec::Config& host, const GuestConfigArgs& args);

}  // namespace husk::vm
