// Structs to JSON.
#include "spec/codec.h"
#include "spec/fields_linux.h"
#include "spec/json_writer.h"
#include "spec/names.h"

namespace husk::spec {

const char* namespace_type_name(NamespaceType type) {
  return kNamespaceTypes[static_cast<size_t>(type)].data();
}

void JsonWriter::priorities(const char* name, const std::map<std::string, uint32_t>& value) {
  for (const auto& [interface, priority] : value)
    json_[name].push_back({{"name", interface}, {"priority", priority}});
}

nlohmann::json encode_config(const Config& config) {
  return write(config);
}

nlohmann::json encode_process(const Process& process) {
  return write(process);
}

nlohmann::json encode_resources(const Resources& resources) {
  return write(resources);
}

nlohmann::json encode_state(const State& state) {
  JsonWriter writer;
  writer("ociVersion", state.oci_version);
  writer("id", state.id);
  writer("status", state.status);
  writer("pid", state.pid);
  writer("bundle", state.bundle);
  writer("annotations", state.annotations);
  return writer.take();
}

}  // namespace husk::spec
