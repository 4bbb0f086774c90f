// systemd's driver: limits and annotations as properties, and husk-systemd against a systemd of the test's
// own.
#include <gtest/gtest.h>
#include <signal.h>

#include <functional>
#include <optional>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/linux/systemd_unit.h"
#include "tests/linux/fake_systemd.h"

// A limit names only what it sets.
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

namespace husk {

void PrintTo(const UnitProperty& p, std::ostream* out) {
  *out << p.name << " " << p.signature << " " << p.value.dump();
}

namespace {

using Properties = std::vector<UnitProperty>;
using Jobs = FakeSystemd::Jobs;
constexpr uint64_t kInfinity = UINT64_MAX;

std::optional<Error> error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e;
  }
  return std::nullopt;
}

// An a(ss): a list of pairs of strings would become an object.
nlohmann::json pairs(const std::vector<std::vector<std::string>>& list) {
  return list;
}

TEST(UnitName, Table) {
  const UnitName name = unit_name("a-b.slice:crio:c1", "x");
  EXPECT_EQ(name.slice, "a-b.slice");
  EXPECT_EQ(name.unit, "crio-c1.scope");
  EXPECT_FALSE(name.is_slice());
  EXPECT_EQ(unit_name("", "id1").unit, "husk-id1.scope");
  EXPECT_EQ(unit_name("::c", "x").unit, "c.scope");
  EXPECT_TRUE(unit_name("a.slice::a-b.slice", "x").is_slice());
  EXPECT_TRUE(error_of([] { unit_name("/docker/x", "x"); }));
}

TEST(UnitFrame, ScopeAndSlice) {
  const std::map<std::string, std::string> annotations = {{"org.systemd.property.TimeoutStopSec", "uint32 7"},
                                                          {"org.systemd.property.Description", "'mine'"},
                                                          {"other", "[["}};
  EXPECT_EQ(unit_frame({"a.slice", "husk-x.scope"}, "x", annotations, true),
            (Properties{{"DefaultDependencies", "b", false},
                        {"Slice", "s", "a.slice"},
                        {"Delegate", "b", true},
                        {"CPUAccounting", "b", true},
                        {"MemoryAccounting", "b", true},
                        {"TasksAccounting", "b", true},
                        {"IOAccounting", "b", true},
                        {"Description", "s", "mine"},
                        {"TimeoutStopUSec", "t", 7000000}}));
  const Properties slice = unit_frame({"a.slice", "a-b.slice"}, "x", {}, false);
  EXPECT_EQ(slice[0], (UnitProperty{"Description", "s", "husk container x"}));
  EXPECT_EQ(slice[2], (UnitProperty{"Wants", "as", {"a.slice"}}));
  EXPECT_EQ(slice.back(), (UnitProperty{"BlockIOAccounting", "b", true}));
  const auto error = error_of([] {
    unit_frame({"s", "u"}, "x", {{"org.systemd.property.PIDs", "[1]"}}, true);
  });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::kInvalid);
  EXPECT_EQ(error->message(), "annotation org.systemd.property.PIDs: this property is set by husk alone");
}

TEST(UnitLimits, Table) {
  struct Case {
    const char* what;
    std::function<void(spec::Resources&)> limit;
    Properties v2, v1;
  };
  auto memory = [](std::optional<int64_t> limit, std::optional<int64_t> reservation,
                   std::optional<int64_t> swap) {
    return [=](spec::Resources& r) {
      r.memory.emplace();
      r.memory->limit = limit;
      r.memory->reservation = reservation;
      r.memory->swap = swap;
    };
  };
  auto cpu = [](std::function<void(spec::CpuResources&)> f) {
    return [=](spec::Resources& r) { f(r.cpu.emplace()); };
  };
  auto unified = [](const char* key, const char* value) {
    return [=](spec::Resources& r) { r.unified[key] = value; };
  };
  const std::vector<Case> cases = {
      {"nothing", [](spec::Resources&) {}, {}, {}},
      {"memory",
       memory(100, 50, 150),
       {{"MemoryMax", "t", 100}, {"MemoryLow", "t", 50}, {"MemorySwapMax", "t", 50}},
       {{"MemoryLimit", "t", 100}}},
      {"unlimited memory is unlimited swap, too",
       memory(-1, {}, {}),
       {{"MemoryMax", "t", kInfinity}, {"MemorySwapMax", "t", kInfinity}},
       {{"MemoryLimit", "t", kInfinity}}},
      {"swap without a limit is the kernel's", memory({}, {}, 150), {}, {}},
      {"0 is no limit's value", memory(0, 0, 0), {}, {}},
      {"shares", cpu([](auto& c) { c.shares = 1024; }), {{"CPUWeight", "t", 39}}, {{"CPUShares", "t", 1024}}},
      {"shares of an idle group", cpu([](auto& c) { c.shares = 1024, c.idle = 1; }), {}, {}},
      {"quota",
       cpu([](auto& c) { c.quota = 25000, c.period = 50000; }),
       {{"CPUQuotaPerSecUSec", "t", 500000}, {"CPUQuotaPeriodUSec", "t", 50000}},
       {{"CPUQuotaPerSecUSec", "t", 500000}, {"CPUQuotaPeriodUSec", "t", 50000}}},
      {"quota of the kernel's period, whole percents",
       cpu([](auto& c) { c.quota = 12345; }),
       {{"CPUQuotaPerSecUSec", "t", 130000}},
       {{"CPUQuotaPerSecUSec", "t", 130000}}},
      {"no quota",
       cpu([](auto& c) { c.quota = -1; }),
       {{"CPUQuotaPerSecUSec", "t", kInfinity}},
       {{"CPUQuotaPerSecUSec", "t", kInfinity}}},
      {"an absurd quota",
       cpu([](auto& c) { c.quota = INT64_MAX, c.period = 1; }),
       {{"CPUQuotaPerSecUSec", "t", kInfinity}, {"CPUQuotaPeriodUSec", "t", 1}},
       {{"CPUQuotaPerSecUSec", "t", kInfinity}, {"CPUQuotaPeriodUSec", "t", 1}}},
      {"cpuset",
       cpu([](auto& c) { c.cpus = "0-2, 9", c.mems = "1"; }),
       {{"AllowedCPUs", "ay", {7, 2}}, {"AllowedMemoryNodes", "ay", nlohmann::json::array({2})}},
       {}},
      {"a cpuset for the kernel to read", cpu([](auto& c) { c.cpus = "0-30:2/8"; }), {}, {}},
      {"a cpuset out of range", cpu([](auto& c) { c.cpus = "0-99999999"; }), {}, {}},
      {"pids", [](auto& r) { r.pids_limit = 5; }, {{"TasksMax", "t", 5}}, {{"TasksMax", "t", 5}}},
      {"any number of pids",
       [](auto& r) { r.pids_limit = 0; },
       {{"TasksMax", "t", kInfinity}},
       {{"TasksMax", "t", kInfinity}}},
      {"io",
       [](auto& r) { r.block_io.emplace().weight = uint16_t{500}; },
       {{"IOWeight", "t", 4950}},
       {{"BlockIOWeight", "t", 500}}},
      {"unified", unified("memory.high", "max"), {{"MemoryHigh", "t", kInfinity}}, {}},
      {"unified quota",
       unified("cpu.max", "20000 100000"),
       {{"CPUQuotaPerSecUSec", "t", 200000}, {"CPUQuotaPeriodUSec", "t", 100000}},
       {}},
      {"unified without one", unified("cpu.max", "max"), {{"CPUQuotaPerSecUSec", "t", kInfinity}}, {}},
      {"unified cpuset",
       unified("cpuset.cpus", "3"),
       {{"AllowedCPUs", "ay", nlohmann::json::array({8})}},
       {}},
      {"unified after the rest",
       [](auto& r) { r.pids_limit = 5, r.unified["pids.max"] = "6"; },
       {{"TasksMax", "t", 6}},
       {{"TasksMax", "t", 5}}},
      {"unified that systemd has no word for", unified("hugetlb.2MB.max", "0"), {}, {}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    spec::Resources resources;
    c.limit(resources);
    EXPECT_EQ(unit_limits(resources, true), c.v2);
    EXPECT_EQ(unit_limits(resources, false), c.v1);
  }
  spec::Resources bad;
  bad.unified["memory.max"] = "much";
  EXPECT_TRUE(error_of([&] { unit_limits(bad, true); }));
}

TEST(UnitLimits, Devices) {
  auto limits = [](std::vector<spec::DeviceCgroup> rules) {
    spec::Resources resources;
    resources.devices = std::move(rules);
    return unit_limits(resources, true);
  };
  const UnitProperty clear = {"DeviceAllow", "a(ss)", nlohmann::json::array()};
  EXPECT_EQ(limits({{false, "a", {}, {}, "rwm"},
                    {true, "c", 1, 3, "rw"},
                    {true, "c", 136, {}, ""},
                    {false, "c", 1, 5, "r"},
                    {true, "", {}, {}, "m"},
                    {true, "b", 8, 0, "r"}}),
            (Properties{{"DevicePolicy", "s", "strict"},
                        clear,
                        {"DeviceAllow", "a(ss)",
                         pairs({{"/dev/char/1:3", "rw"},
                                {"char-136", "rwm"},
                                {"block-*", "m"},
                                {"char-*", "m"},
                                {"/dev/block/8:0", "r"}})}}));
  // -1 is Docker's way to say all.
  EXPECT_EQ(limits({{true, "c", 189, -1, "rwm"}}), limits({{true, "c", 189, {}, "rwm"}}));
  EXPECT_EQ(limits({{true, "a", -1, -1, "rwm"}}), limits({{true, "a", {}, {}, "rwm"}}));
  EXPECT_EQ(limits({{true, "c", 1, 3, "rw"}, {true, "a", {}, {}, "rwm"}, {true, "c", {}, {}, "m"}}),
            (Properties{{"DevicePolicy", "s", "auto"}, clear}));
  EXPECT_EQ(limits({{false, "", {}, {}, ""}}), (Properties{{"DevicePolicy", "s", "strict"}, clear}));
}

TEST(Gvariant, Table) {
  struct Case {
    const char *text, *signature;  // no signature: refused
    nlohmann::json value;
  };
  for (const Case& c : std::vector<Case>{
           {"'a b'", "s", "a b"},
           {R"("it's \"so\"\n")", "s", "it's \"so\"\n"},
           {"true", "b", true},
           {"boolean false", "b", false},
           {"5", "i", 5},
           {"-5", "i", -5},
           {"-2147483648", "i", INT32_MIN},
           {" uint64 18446744073709551615 ", "t", kInfinity},
           {"uint32 0x10", "u", 16},
           {"010", "i", 8},
           {"byte 255", "y", 255},
           {"1.5", "d", 1.5},
           {"double 2", "d", 2.0},
           {"@t 7", "t", 7},
           {"['a', 'b']", "as", {"a", "b"}},
           {"[uint64 1, 2]", "at", {1, 2}},
           {"@as []", "as", nlohmann::json::array()},
           {"[('/dev/null', 'rw'), ('/dev/zero', 'r')]", "a(ss)",
            pairs({{"/dev/null", "rw"}, {"/dev/zero", "r"}})},
           {"@a(st) [('x', 1)]", "a(st)", nlohmann::json::array({{"x", 1}})},
           {"('one',)", "(s)", {"one"}},
           {"", nullptr, {}},
           {"bare", nullptr, {}},
           {"'open", nullptr, {}},
           {R"('\q')", nullptr, {}},
           {"5 6", nullptr, {}},
           {"5x", nullptr, {}},
           {"2147483648", nullptr, {}},
           {"uint32 -1", nullptr, {}},
           {"byte 256", nullptr, {}},
           {"uint64 'a'", nullptr, {}},
           {"[1, 'a']", nullptr, {}},
           {"[]", nullptr, {}},
           {"[1", nullptr, {}},
           {"()", nullptr, {}},
           {"@(s) ('a', 'b')", nullptr, {}},
           {"@as 'a'", nullptr, {}},
           {"@h 1", nullptr, {}},
           {"inf", nullptr, {}},
           {"[[[[[[[[[[1]]]]]]]]]]", nullptr, {}},
       }) {
    SCOPED_TRACE(c.text);
    const auto error = error_of([&] {
      const TypedValue value = parse_gvariant(c.text);
      EXPECT_EQ(value.signature, c.signature ? c.signature : "refused");
      EXPECT_EQ(value.value, c.value);
    });
    EXPECT_EQ(error.has_value(), !c.signature) << (error ? error->message() : "");
    EXPECT_TRUE(!error || error->kind() == ErrorKind::kInvalid);
  }
}

TEST(Annotation, SecondsBecomeMicroseconds) {
  EXPECT_EQ(property_from_annotation("TimeoutStopSec", "5"), (UnitProperty{"TimeoutStopUSec", "t", 5000000}));
  EXPECT_EQ(property_from_annotation("TimeoutStopSec", "1.5"),
            (UnitProperty{"TimeoutStopUSec", "t", 1500000}));
  EXPECT_EQ(property_from_annotation("TimeoutStopUSec", "uint64 123"),
            (UnitProperty{"TimeoutStopUSec", "t", 123}));
  EXPECT_EQ(property_from_annotation("RuntimeMaxSec", "uint64 18446744073709551615"),
            (UnitProperty{"RuntimeMaxUSec", "t", kInfinity}));
  EXPECT_EQ(property_from_annotation("Sec", "5"), (UnitProperty{"Sec", "i", 5}));
  for (const char* text : {"'5'", "-5", "uint64 18446744073709551614", "1e300"})
    EXPECT_TRUE(error_of([&] { property_from_annotation("TimeoutStopSec", text); })) << text;
  for (const char* name : {"", "a b", "Slice", "Delegate", "PIDs"})
    EXPECT_TRUE(error_of([&] { property_from_annotation(name, "1"); })) << name;
}

// husk-systemd itself, between the class and the fake.
class SystemdUnitTest : public testing::Test {
 protected:
  static constexpr const char* kUnit = "pre-c.scope";
  static constexpr const char* kGroup = "/where/systemd/says.scope";

  SystemdUnit unit(std::chrono::milliseconds timeout = deadline::kSystemdJob, const char* name = kUnit) {
    return SystemdUnit(name, {path_join(dir_name(program_dir()), "bin/husk-systemd"), timeout});
  }
  static spec::Config config() {
    spec::Config config;
    config.linux_.emplace().cgroups_path = "a.slice:pre:c";
    return config;
  }
  void expect_error(const std::function<void()>& f, ErrorKind kind, const std::string& text) {
    const auto error = error_of(f);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->kind(), kind) << error->message();
    EXPECT_EQ(error->message(), text);
  }

  FakeSystemd fake_{kGroup};
  Cgroup cgroup_{"/asked"};
};

TEST_F(SystemdUnitTest, StartHoldsTheScopeUntilReleased) {
  SystemdUnit scope = unit();
  scope.start(config(), "c", cgroup_);
  EXPECT_EQ(cgroup_.path(), kGroup);
  const auto calls = fake_.calls();
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_EQ(calls[0].member, "StartTransientUnit");
  EXPECT_EQ(calls[0].unit, kUnit);
  EXPECT_EQ(calls[0].property("Slice"), "a.slice");
  EXPECT_EQ(calls[0].property("Delegate"), true);
  EXPECT_EQ(calls[0].property("Description"), "husk container c");
  const Json pids = calls[0].property("PIDs");
  ASSERT_EQ(pids.size(), 1u);
  const pid_t holder = pids[0];
  EXPECT_EQ(read_file("/proc/" + std::to_string(holder) + "/comm"), "husk-systemd\n");
  scope.release();
  EXPECT_EQ(kill(holder, 0), -1);
}

TEST_F(SystemdUnitTest, ASliceHasNoProcess) {
  spec::Config slice;
  slice.linux_.emplace().cgroups_path = "a.slice::a-b.slice";
  unit(deadline::kSystemdJob, "a-b.slice").start(slice, "c", cgroup_);
  const FakeSystemd::Call call = fake_.calls().at(0);
  EXPECT_EQ(call.property("PIDs"), nullptr);
  EXPECT_EQ(call.property("Wants"), Json::array({"a.slice"}));
}

TEST_F(SystemdUnitTest, ApplyAndStop) {
  spec::Resources resources;
  unit().apply(cgroup_, resources);  // nothing to say
  resources.pids_limit = 5;
  resources.devices = {{false, "a", {}, {}, "rwm"}, {true, "c", 1, 3, "rw"}};
  unit().apply(cgroup_, resources);
  unit().stop();
  const auto calls = fake_.calls();
  ASSERT_EQ(calls.size(), 3u);
  EXPECT_EQ(calls[0].member, "SetUnitProperties");
  EXPECT_EQ(calls[0].property("TasksMax"), 5);
  EXPECT_EQ(calls[0].properties.back().second, Json::array({{"/dev/char/1:3", "rw"}}));
  EXPECT_EQ(calls[1].member, "StopUnit");
  EXPECT_EQ(calls[2].member, "ResetFailedUnit");
  EXPECT_EQ(calls[2].unit, kUnit);
}

TEST_F(SystemdUnitTest, WithoutANameNothingIsAsked) {
  SystemdUnit none("");
  none.start(config(), "c", cgroup_);
  none.apply(cgroup_, {});
  none.stop();
  EXPECT_TRUE(fake_.calls().empty());
  EXPECT_EQ(cgroup_.path(), "/asked");
}

TEST_F(SystemdUnitTest, Failures) {
  auto start = [&] { unit(std::chrono::milliseconds(500)).start(config(), "c", cgroup_); };
  const std::string prefix = "--systemd-cgroup: unit pre-c.scope: ";
  fake_.jobs = Jobs::kFailed;
  expect_error(start, ErrorKind::kInternal, prefix + "systemd's job ended as \"failed\"");
  fake_.jobs = Jobs::kNeverEnd;
  expect_error(start, ErrorKind::kTimeout, prefix + "systemd's job did not end in time");
  fake_.jobs = Jobs::kUnitExists;
  expect_error(start, ErrorKind::kExists, prefix + "StartTransientUnit: Unit exists.");
  EXPECT_EQ(fake_.calls().at(3).member, "ResetFailedUnit");
  fake_.jobs = Jobs::kHangUp;
  const auto gone = error_of(start);
  ASSERT_TRUE(gone);
  EXPECT_TRUE(gone->message().starts_with(prefix + "StartTransientUnit: ")) << gone->message();
  const std::string address = getenv("DBUS_SYSTEM_BUS_ADDRESS");
  fake_.hang_up();
  expect_error(start, ErrorKind::kUnsupported,
               prefix + "systemd is not running here: " + address + ": Connection refused");
  unit().stop();  // there is no unit without a systemd
  EXPECT_EQ(cgroup_.path(), "/asked");
}

TEST_F(SystemdUnitTest, AHelperThatIsNotThere) {
  SystemdUnit lost(kUnit, {"/nonexistent/husk-systemd", deadline::kSystemdJob});
  expect_error(
      [&] { lost.start(config(), "c", cgroup_); }, ErrorKind::kNotFound,
      "--systemd-cgroup: unit pre-c.scope: exec /nonexistent/husk-systemd: No such file or directory");
}

}  // namespace
}  // namespace husk
