#include "vm/net/user_network.h"

namespace husk::vm {

Interface user_network_card() {
  Interface card;
  card.name = "eth0";
  card.mac = "52:54:00:12:34:56";  // nobody but QEMU sees it
  card.mtu = 1500;
  card.addresses = {"10.0.2.15/24"};
  card.routes.emplace_back().gateway = kUserNetworkHost;
  return card;
}

}  // namespace husk::vm
