#include "libcontainer/linux/systemd_request.h"

#include <array>

namespace husk {
namespace {

constexpr std::array<const char*, 3> kVerbs = {"start", "set", "stop"};

}  // namespace

Json to_json(const SystemdRequest& request) {
  Json properties = Json::array();
  for (const UnitProperty& p : request.properties) properties.push_back({p.name, p.signature, p.value});
  return {{"verb", kVerbs[static_cast<size_t>(request.verb)]},
          {"unit", request.unit},
          {"hold", request.hold},
          {"properties", properties},
          {"timeout_ms", request.timeout.count()}};
}

SystemdRequest systemd_request_from_json(const Json& json) {
  try {
    SystemdRequest request;
    const std::string verb = json.at("verb");
    size_t i = 0;
    while (i < kVerbs.size() && verb != kVerbs[i]) ++i;
    if (i == kVerbs.size())
      throw Error(ErrorKind::kInvalid, "request: no verb \"" + printable(verb, 40) + "\"");
    request.verb = static_cast<SystemdRequest::Verb>(i);
    request.unit = json.at("unit");
    request.hold = json.at("hold");
    for (const Json& p : json.at("properties")) request.properties.push_back({p.at(0), p.at(1), p.at(2)});
    request.timeout = std::chrono::milliseconds(json.at("timeout_ms").get<int64_t>());
    return request;
  } catch (const Json::exception& e) {
    throw Error(ErrorKind::kInvalid, std::string("request: ") + e.what());
  }
}

}  // namespace husk
