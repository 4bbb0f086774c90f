#include "spec/binary.h"

#include <cstring>

#include "libcontainer/base/error.h"
#include "spec/fields_linux.h"
#include "spec/names.h"

namespace husk::spec {

void BinaryWriter::raw(const void* from, size_t size) {
  bytes_.append(static_cast<const char*>(from), size);
}

void BinaryWriter::put_count(size_t count) {
  if (count > UINT32_MAX) throw Error(ErrorKind::kInvalid, "too many items, or too long a string");
  put(static_cast<uint32_t>(count));
}

void BinaryWriter::put(NamespaceType value) {
  put(static_cast<uint8_t>(value));
}

void BinaryWriter::put(const std::string& value) {
  put_count(value.size());
  raw(value.data(), value.size());
}

void BinaryWriter::put(const std::vector<std::string>& value) {
  put_count(value.size());
  for (const std::string& item : value) put(item);
}

void BinaryReader::fail(const char* why) const {
  throw Error(ErrorKind::kInvalid, std::string("broken message: ") + why + ", at " + name_);
}

void BinaryReader::end() const {
  if (!rest_.empty()) fail("bytes are left");
}

void BinaryReader::raw(void* to, size_t size) {
  if (size > rest_.size()) fail("it ends too early");
  memcpy(to, rest_.data(), size);
  rest_.remove_prefix(size);
}

size_t BinaryReader::get_count() {
  uint32_t count = 0;
  raw(&count, sizeof count);
  if (count > rest_.size()) fail("it ends too early");
  return count;
}

void BinaryReader::get(bool& value) {
  uint8_t byte = 0;
  raw(&byte, sizeof byte);
  if (byte > 1) fail("neither true nor false");
  value = byte;
}

void BinaryReader::get(NamespaceType& value) {
  uint8_t byte = 0;
  raw(&byte, sizeof byte);
  if (byte >= std::size(kNamespaceTypes)) fail("no such namespace type");
  value = static_cast<NamespaceType>(byte);
}

// The kernel would see only the part before a NUL byte: what is checked must be what is used.
void BinaryReader::get(std::string& value) {
  const size_t size = get_count();
  value.assign(rest_.data(), size);
  rest_.remove_prefix(size);
  if (value.find('\0') != std::string::npos) fail("a string holds a NUL byte");
}

void BinaryReader::get(std::vector<std::string>& value) {
  const size_t count = get_count();
  value.clear();
  value.reserve(std::min(count, kAhead));
  for (size_t i = 0; i < count; ++i) get(value.emplace_back());
}

void fields(BinaryWriter& a, const Config& v) {
  fields<BinaryWriter, const Config>(a, v);
}
void fields(BinaryReader& a, Config& v) {
  fields<BinaryReader, Config>(a, v);
}
void fields(BinaryWriter& a, const Process& v) {
  fields<BinaryWriter, const Process>(a, v);
}
void fields(BinaryReader& a, Process& v) {
  fields<BinaryReader, Process>(a, v);
}
void fields(BinaryWriter& a, const Resources& v) {
  fields<BinaryWriter, const Resources>(a, v);
}
void fields(BinaryReader& a, Resources& v) {
  fields<BinaryReader, Resources>(a, v);
}
void fields(BinaryWriter& a, const Seccomp& v) {
  fields<BinaryWriter, const Seccomp>(a, v);
}
void fields(BinaryReader& a, Seccomp& v) {
  fields<BinaryReader, Seccomp>(a, v);
}

}  // namespace husk::spec
