// Loops shared by threads: every chunk runs once, in any thread; errors; the decision whether to share.
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <limits>
#include <stdexcept>
#include <thread>
#include <vector>

#include "cpu/cores.h"
#include "cpu/team.h"
#include "temp_dir.h"

namespace cuvae::cpu {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

TEST(Team, EveryChunkRunsOnceWithItsOwnLimits) {
  for (const int size : {1, 2, 3, 8}) {
    Team team(size);
    for (const Index n : {0, 1, 2, 7, 64, 1000})
      for (const Index chunk : {1, 3, 64}) {
        std::vector<std::atomic<int>> calls(static_cast<std::size_t>(n));
        team.chunks(n, chunk, [&](Index c, Index begin, Index end) {
          EXPECT_EQ(begin, c * chunk);
          EXPECT_EQ(end, std::min(n, begin + chunk));
          for (Index i = begin; i < end; ++i) ++calls[static_cast<std::size_t>(i)];
        });
        for (const auto& count : calls) ASSERT_EQ(count, 1) << size << " threads, " << n << " by " << chunk;
      }
  }
}

TEST(Team, HelpersTakePart) {
  Team team(2);
  std::atomic<bool> other{false};
  const auto caller = std::this_thread::get_id();
  // The first chunk waits until a helper has taken the second one.
  team.chunks(2, 1, [&](Index, Index, Index) {
    if (std::this_thread::get_id() != caller) other = true;
    while (!other) std::this_thread::yield();
  });
  EXPECT_TRUE(other);
}

TEST(Team, RunsAsOftenAsItIsAsked) {
  Team team(3);
  std::atomic<Index> sum{0};
  for (Index round = 0; round < 20000; ++round) team.chunks(5, 1, [&](Index c, Index, Index) { sum += c; });
  EXPECT_EQ(sum, 20000 * 10);
}

TEST(Team, AnErrorOfAChunkReachesTheCaller) {
  Team team(2);
  for (int round = 0; round < 100; ++round) {
    std::atomic<int> calls{0};
    EXPECT_THROW(team.chunks(16, 1,
                             [&](Index c, Index, Index) {
                               ++calls;
                               if (c % 5 == 3) throw std::bad_alloc();
                             }),
                 std::bad_alloc);
    EXPECT_GE(calls, 1);
    calls = 0;
    team.chunks(16, 1, [&](Index, Index, Index) { ++calls; });
    EXPECT_EQ(calls, 16);
  }
}

TEST(Team, TwoCallersAndNestedLoopsDoNotWaitForEachOther) {
  Team team(2);
  std::atomic<Index> sum{0};
  const auto work = [&] {
    for (int round = 0; round < 500; ++round)
      team.chunks(4, 1, [&](Index, Index, Index) { team.chunks(4, 1, [&](Index c, Index, Index) { sum += c; }); });
  };
  std::thread other(work);
  work();
  other.join();
  EXPECT_EQ(sum, 2 * 500 * 4 * 6);
}

TEST(SharingBalance, StopsWhereItLosesAndTriesAgainAfterLongerAndLongerPauses) {
  SharingBalance balance;
  nanoseconds now{0};
  EXPECT_TRUE(balance.share(now));
  balance.record(now, nanoseconds{0}, milliseconds{2});
  EXPECT_FALSE(balance.share(now + milliseconds{9}));
  now += milliseconds{10};
  EXPECT_TRUE(balance.share(now));
  balance.record(now, nanoseconds{0}, milliseconds{2});
  EXPECT_FALSE(balance.share(now + milliseconds{19}));
  EXPECT_TRUE(balance.share(now + milliseconds{20}));
}

TEST(SharingBalance, OneLongWaitDoesNotEndSharingThatPays) {
  SharingBalance balance;
  for (int i = 0; i < 100; ++i) balance.record(nanoseconds{i}, milliseconds{1}, nanoseconds{0});
  balance.record(nanoseconds{100}, nanoseconds{0}, milliseconds{1});
  EXPECT_TRUE(balance.share(nanoseconds{100}));
}

class Cgroup : public testing::Test {
 protected:
  void write(const std::filesystem::path& file, const std::string& text) {
    std::filesystem::create_directories((dir_.path() / file).parent_path());
    std::ofstream(dir_.path() / file) << text;
  }
  double cores() const { return cgroup_cores(dir_.path() / "self", dir_.path() / "fs"); }
  test::TempDir dir_;
};

TEST_F(Cgroup, Version2TakesTheLeastQuotaOnTheWayUp) {
  write("self", "0::/outer/inner\n");
  EXPECT_EQ(cores(), std::numeric_limits<double>::infinity());
  write("fs/outer/cpu.max", "150000 100000\n");
  write("fs/outer/inner/cpu.max", "max 100000\n");
  EXPECT_EQ(cores(), 1.5);
  write("fs/outer/inner/cpu.max", "50000 100000\n");
  EXPECT_EQ(cores(), 0.5);
}

TEST_F(Cgroup, Version1HasAQuotaAndAPeriod) {
  write("self", "7:memory:/x\n4:cpu,cpuacct:/docker/id\n");
  write("fs/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  write("fs/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cores(), std::numeric_limits<double>::infinity());
  write("fs/cpu,cpuacct/cpu.cfs_quota_us", "300000\n");  // a container sees its group as the root
  EXPECT_EQ(cores(), 3);
}

TEST_F(Cgroup, NonsenseIsNoLimit) {
  for (const char* text : {"", "max", "abc def\n", "100000 0\n", "-5 100000\n"}) {
    write("self", "0::/../../etc\nxyz\n:::\n");
    write("fs/cpu.max", text);
    EXPECT_EQ(cores(), std::numeric_limits<double>::infinity()) << text;
  }
}

}  // namespace
}  // namespace cuvae::cpu
