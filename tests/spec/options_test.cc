#include "spec/options.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"

namespace husk::spec {
namespace {

class OptionsFile : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/husk-options-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
    path_ = dir_ + "/husk.toml";
  }
  void TearDown() override { remove_tree(dir_); }

  Options load(const std::string& text) {
    write_file(path_, text, true);
    return load_options(path_, true);
  }
  // The message without the path in front of it.
  std::string error(const std::string& text) {
    try {
      load(text);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInvalid);
      EXPECT_TRUE(e.message().starts_with(path_ + ": ")) << e.message();
      return e.message().substr(std::min(e.message().size(), path_.size() + 2));
    }
    return "";
  }

  std::string dir_, path_;
};

TEST(Options, Defaults) {
  const Options options = default_options();
  EXPECT_EQ(options.vm, "qemu");
  EXPECT_EQ(options.accel, "auto");
  EXPECT_EQ(options.memory, 512u);
  EXPECT_TRUE(options.hypervisor_sandbox);
}

TEST(Options, TheTableIsComplete) {
  Options options = default_options();
  for (const OptionInfo& info : option_table()) {
    EXPECT_EQ(get_option(options, info.name), info.default_text);
    EXPECT_NO_THROW(set_option(options, info.name, info.default_text)) << info.name;
    EXPECT_TRUE(std::string(info.sentence).ends_with(".")) << info.name;
    EXPECT_NE(options_man_page().find(std::string(".B ") + info.name + "\n"), std::string::npos) << info.name;
  }
}

TEST(Options, SetAndGet) {
  Options options = default_options();
  set_option(options, "memory", "64");
  set_option(options, "hypervisor_sandbox", "false");
  set_option(options, "kernel", "/boot/vmlinux");
  set_option(options, "kernel", "");
  EXPECT_EQ(options.memory, 64u);
  EXPECT_FALSE(options.hypervisor_sandbox);
  EXPECT_EQ(get_option(options, "memory"), "64");
  EXPECT_EQ(get_option(options, "hypervisor_sandbox"), "false");
}

TEST(Options, BrokenValues) {
  const struct {
    const char *name, *value, *message;
  } cases[] = {
      {"memory", "12", "memory: 12 is below 64 MiB"},
      {"memory", "-1", "memory: -1 is below 64 MiB"},
      {"memory", "1048577", "memory: 1048577 is above 1048576 MiB"},
      {"memory", "99999999999999999999", "memory: 99999999999999999999 is above 1048576 MiB"},
      {"memory", "-99999999999999999999", "memory: -99999999999999999999 is below 64 MiB"},
      {"memory", "512M", R"(memory: expected an integer, got "512M")"},
      {"memory", "", R"(memory: expected an integer, got "")"},
      {"vcpus", "0", "vcpus: 0 is below 1"},
      {"vcpus", "1.5", R"(vcpus: expected an integer, got "1.5")"},
      {"accel", "kvn", R"(accel: expected auto, kvm or tcg, got "kvn"; did you mean "kvm"?)"},
      {"accel", "hardware", R"(accel: expected auto, kvm or tcg, got "hardware")"},
      {"machine", "pc", R"(machine: expected q35 or microvm, got "pc")"},
      {"qemu", "qemu", R"(qemu: must be an absolute path, got "qemu")"},
      {"qemu", "", "qemu: must not be empty"},
      {"hypervisor_sandbox", "yes", R"(hypervisor_sandbox: expected true or false, got "yes")"},
      {"kernel_params", "a\nb", R"(kernel_params: must be one line, got "a\x0ab")"},
      {"memroy", "1", R"(unknown option "memroy"; did you mean "memory"?)"},
      {"Memory", "1", R"(unknown option "Memory"; did you mean "memory"?)"},
      {"virtiofs", "/x", R"(unknown option "virtiofs"; did you mean "virtiofsd"?)"},
      {"colour", "red", R"(unknown option "colour")"},
      {"", "x", R"(unknown option "")"},
  };
  for (const auto& c : cases) {
    Options options = default_options();
    try {
      set_option(options, c.name, c.value);
      ADD_FAILURE() << c.name;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInvalid);
      EXPECT_EQ(e.message(), c.message);
    }
  }
}

TEST_F(OptionsFile, Good) {
  const Options options = load(
      "# a comment\n\nmemory = 1024 # here too\nvcpus=2\naccel = \"tcg\"\n"
      "kernel_params = \"quiet console=ttyS0,115200 x=y\"\nhypervisor_sandbox = false\n");
  EXPECT_EQ(options.memory, 1024u);
  EXPECT_EQ(options.vcpus, 2u);
  EXPECT_EQ(options.accel, "tcg");
  EXPECT_EQ(options.kernel_params, "quiet console=ttyS0,115200 x=y");
  EXPECT_FALSE(options.hypervisor_sandbox);
  EXPECT_EQ(options.machine, "q35");
}

TEST_F(OptionsFile, Broken) {
  EXPECT_EQ(error("memroy = 1\n"), R"(unknown option "memroy"; did you mean "memory"?)");
  EXPECT_EQ(error("memory = 12\n"), "memory: 12 is below 64 MiB");
  EXPECT_EQ(error("memory = 100\nvcpus = 1\nmemory = 200\n"), "memory: given twice");
  EXPECT_EQ(error("memory = [1, 2]\n"), "memory: expected one value in quotes, or one given once");
  EXPECT_EQ(error("kernel_params = a b\n"), "kernel_params: expected one value in quotes, or one given once");
  EXPECT_EQ(error("kernel_params = \"a#b\"\n"),
            "kernel_params: the quotes do not end (\"#\" cannot be part of a value)");
  EXPECT_EQ(error("memory\n"), R"(memory: expected an integer, got "true")");
  EXPECT_EQ(error("[machine]\nmemory = 100\n"), "there are no sections, got [machine]");
  EXPECT_EQ(error("hypervisor.qemu = \"/x\"\n"), "there are no sections, got [hypervisor]");
}

TEST_F(OptionsFile, Missing) {
  EXPECT_EQ(load_options(path_, false).memory, 512u);
  EXPECT_THROW(load_options(path_, true), Error);
}

TEST_F(OptionsFile, TheExampleIsTheDefault) {
  std::string text = options_example();
  EXPECT_NO_THROW(load(text));
  // Also with its settings switched on.
  for (const OptionInfo& info : option_table()) {
    const size_t at = text.find(std::string("\n#") + info.name + " = ");
    ASSERT_NE(at, std::string::npos) << info.name;
    text.erase(at + 1, 1);
  }
  const Options options = load(text);
  for (const OptionInfo& info : option_table()) EXPECT_EQ(get_option(options, info.name), info.default_text);
}

TEST(Options, ManPageIsRoff) {
  const std::string page = options_man_page();
  EXPECT_TRUE(page.starts_with(".TH HUSK.TOML 5"));
  EXPECT_NE(page.find("(integer, 64 to 1048576 MiB; default 512)"), std::string::npos);
  EXPECT_EQ(page.find("\n\n"), std::string::npos);
}

}  // namespace
}  // namespace husk::spec
