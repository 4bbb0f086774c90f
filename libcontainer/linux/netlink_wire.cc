// Interfaces as JSON: what husk-sandbox writes and the guest reads. Keys that are not known are not read;
// what is read has to be right, since it ends in messages to the kernel.
#include <fmt/format.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <limits>

#include "libcontainer/base/error.h"
#include "libcontainer/linux/netlink.h"
#include "libcontainer/linux/netlink_address.h"

namespace husk {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxEntries = 4096;  // of each list
constexpr uint32_t kMinMtu = 68, kMaxMtu = 65535;

[[noreturn]] void invalid(const std::string& what) {
  throw Error(ErrorKind::kInvalid, what);
}

const Json* member(const Json& object, const char* key) {
  if (!object.is_object()) invalid("not an object");
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

std::string text(const Json& object, const char* key) {
  const Json* value = member(object, key);
  if (!value) return "";
  if (!value->is_string()) invalid(fmt::format("{} is not a string", key));
  return value->get<std::string>();
}

uint32_t number(const Json& object, const char* key, uint32_t otherwise,
                uint32_t max = std::numeric_limits<uint32_t>::max()) {
  const Json* value = member(object, key);
  if (!value) return otherwise;
  const bool fits = value->is_number_unsigned() ? value->get<uint64_t>() <= max
                                                : value->is_number_integer() && value->get<int64_t>() >= 0 &&
                                                      value->get<int64_t>() <= int64_t{max};
  if (!fits) invalid(fmt::format("{} is not a number from 0 to {}", key, max));
  return value->get<uint32_t>();
}

bool boolean(const Json& object, const char* key, bool otherwise = false) {
  const Json* value = member(object, key);
  if (!value) return otherwise;
  if (!value->is_boolean()) invalid(fmt::format("{} is not true or false", key));
  return value->get<bool>();
}

// Calls `read` for every entry of a list, which may be absent.
template <typename F>
void each(const Json& object, const char* key, F&& read) {
  const Json* list = member(object, key);
  if (!list) return;
  if (!list->is_array()) invalid(fmt::format("{} is not a list", key));
  if (list->size() > kMaxEntries) invalid(fmt::format("{} has more than {} entries", key, kMaxEntries));
  for (size_t i = 0; i < list->size(); ++i)
    with_context(fmt::format("{}[{}]", key, i), [&] { read((*list)[i]); });
}

Json neighbor_to_json(const Neighbor& n) {
  return {{"address", n.address}, {"mac", n.mac}};
}

Neighbor neighbor_from_json(const Json& json) {
  Neighbor neighbor{text(json, "address"), text(json, "mac")};
  parse_ip(neighbor.address);
  parse_mac(neighbor.mac);
  return neighbor;
}

Json route_to_json(const Route& r) {
  return {{"destination", r.destination},
          {"gateway", r.gateway},
          {"source", r.source},
          {"metric", r.metric},
          {"scope", r.scope},
          {"protocol", r.protocol},
          {"type", r.type},
          {"flags", r.flags},
          {"mtu", r.mtu},
          {"ipv6", r.ipv6}};
}

Route route_from_json(const Json& json) {
  Route route;
  route.ipv6 = boolean(json, "ipv6");
  const int family = route.ipv6 ? AF_INET6 : AF_INET;
  route.destination = text(json, "destination");
  if (!route.destination.empty() && parse_cidr(route.destination).family != family)
    invalid("destination is of the other family");
  route.gateway = text(json, "gateway");
  // An IPv4 destination may have an IPv6 gateway, the other way round there is nothing to route with.
  if (!route.gateway.empty() && parse_ip(route.gateway).family == AF_INET && route.ipv6)
    invalid("an IPv6 route has an IPv4 gateway");
  route.source = text(json, "source");
  if (!route.source.empty() && parse_ip(route.source).family != family)
    invalid("source is of the other family");
  route.metric = number(json, "metric", 0);
  route.scope = number(json, "scope", 0, RT_SCOPE_NOWHERE);
  route.protocol = number(json, "protocol", 0, 255);
  route.type = number(json, "type", RTN_UNICAST, RTN_MAX);
  route.flags = number(json, "flags", 0);
  if (route.flags & ~uint32_t{RTNH_F_ONLINK}) invalid("flags has more than RTNH_F_ONLINK");
  route.mtu = number(json, "mtu", 0, kMaxMtu);
  return route;
}

}  // namespace

Json interface_to_json(const Interface& interface) {
  Json routes = Json::array(), neighbors = Json::array();
  for (const Route& route : interface.routes) routes.push_back(route_to_json(route));
  for (const Neighbor& n : interface.neighbors) neighbors.push_back(neighbor_to_json(n));
  Json json = {{"name", interface.name},
               {"mac", interface.mac},
               {"mtu", interface.mtu},
               {"arp", interface.arp},
               {"ipv6", interface.ipv6},
               {"shares_mac", interface.shares_mac},
               {"addresses", interface.addresses},
               {"routes", routes},
               {"neighbors", neighbors}};
  if (interface.host_end) json["host_end"] = neighbor_to_json(*interface.host_end);
  return json;
}

Interface interface_from_json(const Json& json) {
  return with_context("network interface", [&] {
    Interface interface;
    interface.name = text(json, "name");
    if (!valid_interface_name(interface.name))
      invalid(fmt::format("name \"{}\" is not an interface's", printable(interface.name, 64)));
    return with_context(interface.name, [&] {
      const MacAddress mac = parse_mac(text(json, "mac"));
      interface.mac = format_mac(mac.data());
      interface.mtu = number(json, "mtu", 1500, kMaxMtu);
      if (interface.mtu < kMinMtu) invalid(fmt::format("mtu is less than {}", kMinMtu));
      interface.arp = boolean(json, "arp", true);
      interface.ipv6 = boolean(json, "ipv6", true);
      interface.shares_mac = boolean(json, "shares_mac");
      each(json, "addresses", [&](const Json& entry) {
        if (!entry.is_string()) invalid("not a string");
        interface.addresses.push_back(entry.get<std::string>());
        parse_cidr(interface.addresses.back());
      });
      each(json, "routes", [&](const Json& entry) { interface.routes.push_back(route_from_json(entry)); });
      each(json, "neighbors",
           [&](const Json& entry) { interface.neighbors.push_back(neighbor_from_json(entry)); });
      if (const Json* end = member(json, "host_end"))
        with_context("host_end", [&] {
          interface.host_end = neighbor_from_json(*end);
          if (parse_ip(interface.host_end->address).family != AF_INET) invalid("not an IPv4 address");
        });
      return interface;
    });
  });
}

}  // namespace husk
