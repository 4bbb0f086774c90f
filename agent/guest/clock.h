// What a guest cannot know by itself, least of all one that was resumed from a template.
#pragma once

#include <cstdint>
#include <string_view>

namespace husk::guest {

void set_clock(int64_t realtime_ns);
// Where ours is off by more than such news may be late: slowly, or at once where it is far off.
void follow_clock(int64_t realtime_ns);
// Credits the bytes to the pool and has the generator take a new key.
void add_entropy(std::string_view bytes);

}  // namespace husk::guest
