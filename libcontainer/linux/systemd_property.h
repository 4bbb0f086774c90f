// What a container is to systemd: the properties of its unit (systemd.resource-control(5),
// org.freedesktop.systemd1(5)). Nothing here talks to systemd: see systemd_unit.h.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "libcontainer/linux/cgroups.h"
#include "spec/config.h"

namespace husk {

// One property as D-Bus carries it.
struct UnitProperty {
  std::string name;
  std::string signature;  // one complete D-Bus type: "t", "as", "a(ss)"
  nlohmann::json value;   // arrays and structs as arrays

  bool operator==(const UnitProperty& o) const {
    return name == o.name && signature == o.signature && value == o.value;
  }
};

// What a new unit is, before any limit: where it hangs, accounting, delegation; and the properties that the
// config's annotations name. v2: see Cgroup::v2_only(). Throws kInvalid for an annotation that is no
// property.
std::vector<UnitProperty> unit_frame(const UnitName& name, const std::string& id,
                                     const std::map<std::string, std::string>& annotations, bool v2);

// The limits which systemd has a property for; those that are absent stay as they are. What it cannot say, or
// only coarsely, is Cgroup::apply's, which comes afterwards.
// Devices: the rules with no exceptions made, since systemd, told of none, allows everything again whenever
// it is reloaded.
std::vector<UnitProperty> unit_limits(const spec::Resources& resources, bool v2);

// A value in GVariant's text form (GLib's "GVariant Text Format"): strings, numbers, booleans, arrays,
// tuples, with or without a type ("uint64 5", "@as []"). Throws kInvalid.
struct TypedValue {
  std::string signature;
  nlohmann::json value;
};
TypedValue parse_gvariant(std::string_view text);

// The annotation "org.systemd.property.NAME", without its prefix. …Sec becomes …USec, as D-Bus has it, and
// its value microseconds. Throws kInvalid, for the properties that are husk's own, too.
UnitProperty property_from_annotation(const std::string& name, const std::string& text);

}  // namespace husk
