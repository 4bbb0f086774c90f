// How a struct lists its members, once for every format: fields(a, v) calls a(NAME, v.MEMBER) for each, in an
// order that never depends on the values. The archive `a` is a JsonReader, JsonWriter, BinaryReader or
// BinaryWriter; its required(), nested() and priorities() are for what JSON has in another shape.
#pragma once

#include <concepts>
#include <type_traits>

namespace husk::spec {

// T is S, or const S (for a writer).
template <typename T, typename S>
concept Is = std::same_as<std::remove_const_t<T>, S>;

}  // namespace husk::spec
