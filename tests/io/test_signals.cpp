// Signals, for example from a timer or a profiler, do not change what a program computes.
#include <signal.h>
#include <sys/time.h>

#include <atomic>

#include "op_test.h"

namespace cuvae {
namespace {
using namespace test;

std::atomic<int> handled{0};

// While this object exists: SIGALRM every 100 microseconds, handled by any thread.
class Alarms {
 public:
  Alarms() {
    struct sigaction action = {};
    action.sa_handler = [](int) { ++handled; };
    action.sa_flags = SA_RESTART;
    ::sigaction(SIGALRM, &action, &before_);
    set(100);
  }
  ~Alarms() {
    set(0);
    ::sigaction(SIGALRM, &before_, nullptr);
  }
  Alarms(const Alarms&) = delete;
  Alarms& operator=(const Alarms&) = delete;

 private:
  static void set(suseconds_t microseconds) {
    const itimerval interval = {{0, microseconds}, {0, microseconds}};
    ::setitimer(ITIMER_REAL, &interval, nullptr);
  }
  struct sigaction before_ = {};
};

// Enough rows that oneDNN copies its operands to the heap.
TEST(Signals, DoNotReachIntoProducts) {
  constexpr Index kBatch = 2560, kInputs = 200, kOutputs = 400;
  const auto backend = make_backend("cpu", 2);
  const Matrix x(*backend, kBatch, kInputs, random_vector(kBatch * kInputs, 1)),
      w(*backend, kOutputs, kInputs, random_vector(kOutputs * kInputs, 2)),
      dy(*backend, kBatch, kOutputs, random_vector(kBatch * kOutputs, 3));
  const auto gradients = [&] {
    const Matrix dw(*backend, kOutputs, kInputs), db(*backend, 1, kOutputs), dx(*backend, kBatch, kInputs);
    backend->run(LinearBackward{x, w, dy, Activation::identity, {}, dw, db, dx});
    std::vector<float> all = dw.get();
    for (const Matrix* m : {&db, &dx}) {
      const std::vector<float> values = m->get();
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  };
  const std::vector<float> undisturbed = gradients();
  handled = 0;
  {
    const Alarms alarms;
    for (int i = 0; i < 100; ++i) ASSERT_EQ(gradients(), undisturbed) << "in turn " << i;
  }
  EXPECT_GT(handled, 10);
}

}  // namespace
}  // namespace cuvae
