#include "libcontainer/base/trace.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "libcontainer/base/error.h"

namespace husk {
namespace {

using nlohmann::json;

json one_event() {
  return {{"program", "husk-agent"},
          {"thread", ""},
          {"name", "Hello"},
          {"pid", 1},
          {"tid", 7},
          {"begin", 10},
          {"end", 20}};
}

TEST(Trace, EventsSurviveTheWay) {
  const json list = json::array({one_event()});
  EXPECT_EQ(trace::events_to_json(trace::events_from_json(list)), list);
}

TEST(Trace, AGuestsNonsenseIsRefused) {
  json missing = one_event(), text = one_event(), late = one_event(), before = one_event();
  missing.erase("name");
  text["pid"] = "1";
  late["end"] = INT64_MAX;
  before["begin"] = -1;
  for (const json& event : {missing, text, late, before, json(5), json::array()})
    EXPECT_THROW(trace::events_from_json(json::array({event})), Error) << event;
  EXPECT_THROW(trace::events_from_json(json::object()), Error);
  EXPECT_THROW(trace::events_from_json(json(std::vector<json>(5000, one_event()))), Error);
}

TEST(Trace, AGuestsNamesAreShortAndPrintable) {
  json event = one_event();
  event["name"] = "a\n" + std::string(1000, 'x');
  const std::string name = trace::events_from_json(json::array({event})).at(0).name;
  EXPECT_LT(name.size(), 100u);
  EXPECT_EQ(name.find('\n'), std::string::npos);
}

TEST(Trace, OffASpanIsNothing) {
  { trace::Span span("nothing"); }
  EXPECT_TRUE(trace::take().empty());
}

}  // namespace
}  // namespace husk
