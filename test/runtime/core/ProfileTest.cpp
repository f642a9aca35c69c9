// Intervals add up per thread, and the mean thread is what is told.

#include "runtime/core/Profile.h"

#include <gtest/gtest.h>

#include <time.h>

using namespace moec;

namespace {

void sleepMilliseconds(int64_t count) {
  timespec time = {0, static_cast<long>(count) * 1'000'000};
  nanosleep(&time, nullptr);
}

TEST(Profile, TellsPhasesFromWaits) {
  Profile profile(2, 1);
  for (int step = 0; step < 2; ++step) {
    profile.note(0, -1);
    sleepMilliseconds(4);
    profile.note(0, 0);
    profile.note(0, 1);
    sleepMilliseconds(2);
    profile.note(0, 3);   // behind phase 1
    sleepMilliseconds(8); // between steps: nobody's
  }
  EXPECT_EQ(profile.runs(0), 2);
  EXPECT_EQ(profile.runs(1), 2);
  EXPECT_GE(profile.secondsIn(0), 0.008);
  EXPECT_GE(profile.secondsBehind(1), 0.004);
  EXPECT_LT(profile.secondsIn(1), profile.secondsIn(0));
  EXPECT_EQ(profile.secondsBehind(0), 0);
  profile.clear();
  EXPECT_EQ(profile.runs(0), 0);
  EXPECT_EQ(profile.secondsIn(0), 0);
}

TEST(Profile, TellsTheMeanThread) {
  Profile one(1, 1), two(1, 2);
  for (Profile *profile : {&one, &two})
    profile->note(0, -1);
  sleepMilliseconds(4);
  for (Profile *profile : {&one, &two})
    profile->note(0, 0);
  EXPECT_LT(two.secondsIn(0), one.secondsIn(0) * 0.75);
  EXPECT_GE(two.secondsIn(0), 0.002);
}

} // namespace
