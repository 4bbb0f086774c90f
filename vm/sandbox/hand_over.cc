#include "vm/sandbox/hand_over.h"

#include <fcntl.h>

#include <algorithm>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/linux/mounts.h"
#include "libcontainer/linux/namespaces.h"
#include "vm/share/share.h"

namespace husk::vm {
namespace {

// Mounts in one message: below what a message may carry, and few open files on either side.
constexpr size_t kMountsAtOnce = 32;
static_assert(kMountsAtOnce <= kMaxMessageFds);

UniqueFd open_shared(const SharedSource& shared, const std::string& rootfs) {
  return with_context("sharing " + printable(shared.source), [&] {
    UniqueFd tree = shared.overlay ? overlay_for_share(shared.source, rootfs, shared.kind)
                                   : clone_for_share(shared.source, shared.kind);
    if (!shared.uids.empty())
      idmap_mount(tree.get(), make_user_namespace(shared.uids, shared.gids).get(), shared.idmap_recursive);
    return tree;
  });
}

}  // namespace

Json tell(int connection, const Json& body, const std::vector<int>& fds, std::chrono::milliseconds timeout) {
  Message reply;
  if (!exchange(connection, body, fds, reply, timeout))
    throw Error(ErrorKind::kGuestDied, "husk-sandbox ended while the container was created");
  throw_if_error(reply.body);
  return std::move(reply.body);
}

void send_mounts(int connection, const std::string& id, const std::string& rootfs,
                 const std::vector<SharedSource>& shared) {
  for (size_t i = 0; i < shared.size(); i += kMountsAtOnce) {
    Json names = Json::array(), watched = Json::array();
    std::vector<UniqueFd> trees;
    std::vector<int> fds;
    for (size_t k = i; k < std::min(i + kMountsAtOnce, shared.size()); ++k) {
      names.push_back(shared[k].name);
      watched.push_back(shared[k].watched);
      trees.push_back(open_shared(shared[k], rootfs));
      fds.push_back(trees.back().get());
    }
    tell(connection, {{"op", "mounts"}, {"id", id}, {"names", names}, {"watched", watched}}, fds,
         deadline::kControlReply);
  }
}

// Of mounts of our own, which keep nobody from unmounting the engine's.
void send_connections(int connection, const std::string& id, const GuestConfig& guest) {
  std::vector<UniqueFd> files;
  const auto send = [&](const Json& destinations, bool resolv_conf) {
    std::vector<int> fds;
    for (const UniqueFd& file : files) fds.push_back(file.get());
    tell(connection,
         {{"op", "connections"}, {"id", id}, {"sockets", destinations}, {"resolv_conf", resolv_conf}}, fds,
         deadline::kControlReply);
    files.clear();
  };
  if (!guest.resolv_conf.empty()) {
    UniqueFd tree = clone_for_share(guest.resolv_conf, {true, false});
    files.push_back(open_file(fd_path(tree.get()), O_RDONLY | O_NONBLOCK));
    send(Json::array(), true);
  }
  for (size_t i = 0; i < guest.sockets.size(); i += kMountsAtOnce) {
    Json destinations = Json::array();
    for (size_t k = i; k < std::min(i + kMountsAtOnce, guest.sockets.size()); ++k) {
      destinations.push_back(guest.sockets[k].destination);
      files.push_back(clone_for_share(guest.sockets[k].source, {}));
    }
    send(destinations, false);
  }
}

}  // namespace husk::vm
