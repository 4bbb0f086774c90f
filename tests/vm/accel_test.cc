#include <gtest/gtest.h>

#include "tests/base/temp_folder.h"
#include "vm/machine.h"

namespace husk::vm {
namespace {

TEST(Accel, ForcedOnesAreNotProbed) {
  // What is asked for by name is taken, or refused: never tried in vain.
  try {
    EXPECT_EQ(choose_accel("kvm", ""), Accel::kKvm);
  } catch (const Error& e) {
    EXPECT_TRUE(e.message().starts_with("accel = \"kvm\": ")) << e.message();
  }
  EXPECT_EQ(choose_accel("tcg", ""), Accel::kTcg);
  EXPECT_THROW(choose_accel("hvf", ""), Error);
}

TEST(Accel, AutoAnswersInTimeAndRemembers) {
  TempFolder folder;
  auto start = std::chrono::steady_clock::now();
  Accel accel = choose_accel("auto", folder.path);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(3));
  std::string kept = read_file(folder / "accel");
  EXPECT_NE(kept.find(accel == Accel::kKvm ? "kvm" : "tcg"), std::string::npos);

  // What is kept is believed, for this boot only.
  std::string boot = read_file("/proc/sys/kernel/random/boot_id");
  Accel other = accel == Accel::kKvm ? Accel::kTcg : Accel::kKvm;
  std::string word = other == Accel::kKvm ? "kvm\n" : "tcg\n";
  write_file_atomic(folder / "accel", boot + word);
  EXPECT_EQ(choose_accel("auto", folder.path), other);
  write_file_atomic(folder / "accel", "another boot\n" + word);
  EXPECT_EQ(choose_accel("auto", folder.path), accel);
  write_file_atomic(folder / "accel", std::string(1000, 'x'));
  EXPECT_EQ(choose_accel("auto", folder.path), accel);
}

TEST(Accel, ACacheThatCannotBeWrittenIsNoError) {
  choose_accel("auto", "/nonexistent/folder");
}

}  // namespace
}  // namespace husk::vm
