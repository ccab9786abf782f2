// How an op's checks are tested: one table of its arrays, each broken in every way, and a list of single mistakes.
#pragma once
#include <functional>

#include "op_test.h"

namespace cuvae::test {

/// Which sizes of an array are fixed by the other arguments, and whether it must be given.
enum Rule : unsigned { kFree = 0, kRows = 1, kCols = 2, kShape = 3, kOptional = 4 };

template <class Args>
struct Slot {
  const char* name;
  View Args::*view;
  unsigned rule;
};

template <class Args>
struct Mistake {
  std::string text;
  std::function<void(Args&)> make;
};

class CheckTest : public OpTest {
 protected:
  /// Disjoint zeroed memory for one array of a call.
  View view(Index rows, Index cols, DType type = DType::f32) {
    arrays_.push_back(backend_.allocate(4096));
    return arrays_.back().view(rows, cols, type);
  }
  /// The same in the backend's activation type.
  View activation(Index rows, Index cols) { return view(rows, cols, type_); }
  template <class T>
  T* memory() {
    return static_cast<T*>(view(1, 1).data);
  }

  template <class Args>
  void expect_error(const std::string& op, const std::string& text, Args args) {
    SCOPED_TRACE("expecting " + op + ": ... " + text);
    try {
      args.call(backend_);
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      const std::string got = error.what();
      EXPECT_EQ(got.rfind(op + ": ", 0), 0u) << got;
      EXPECT_NE(got.find(text), std::string::npos) << got;
      EXPECT_EQ(got.find('\n'), std::string::npos) << got;
    }
  }

  /// Every array of the op in turn with a row or column too many, of another type, empty, or missing.
  template <class Args>
  void expect_checked(const std::string& op, const Args& good, const std::vector<Slot<Args>>& slots,
                      const std::vector<Mistake<Args>>& mistakes = {}) {
    EXPECT_NO_THROW(Args(good).call(backend_));
    for (const Slot<Args>& slot : slots) {
      const std::string name = slot.name;
      const auto broken = [&](const std::function<void(View&)>& breaks) {
        Args args = good;
        breaks(args.*slot.view);
        return args;
      };
      const auto expect_shape_error = [&](const Args& args) {
        const View& v = args.*slot.view;
        expect_error(op, name + " is [" + std::to_string(v.rows) + ", " + std::to_string(v.cols) + "]", args);
        expect_error(op, "but", args);  // and the shape that it disagrees with
      };
      if (slot.rule & kRows) expect_shape_error(broken([](View& v) { ++v.rows; }));
      if (slot.rule & kCols) expect_shape_error(broken([](View& v) { ++v.cols; }));
      const bool f32 = (good.*slot.view).dtype == DType::f32;
      expect_error(op, f32 ? "bf16 but must be" : "u8 but must be",
                   broken([&](View& v) { v.dtype = f32 ? DType::bf16 : DType::u8; }));
      expect_error(op, name + " is [0, ", broken([](View& v) { v.rows = 0; }));
      expect_error(op, ", -1]", broken([](View& v) { v.cols = -1; }));
      const Args missing = broken([](View& v) { v = {}; });
      if (slot.rule & kOptional) {
        EXPECT_NO_THROW(Args(missing).call(backend_)) << op << " without " << name;
      } else {
        expect_error(op, name + " is not given", missing);
      }
    }
    for (const auto& [text, make] : mistakes) {
      Args args = good;
      make(args);
      expect_error(op, text, args);
    }
  }

  Noise noise() { return {1, Stream::latent, memory<std::uint32_t>(), 0}; }

 private:
  std::vector<Buffer> arrays_;
};

}  // namespace cuvae::test
