// Tests of an op's checks. A table lists the op's arrays; each is made wrong in every way. A list has further mistakes.
#pragma once
#include <functional>

#include "op_test.h"

namespace cuvae::test {

/// Which sizes of an array follow from the other arguments, and whether the array may be left out.
enum Rule : unsigned { kFree = 0, kRows = 1, kCols = 2, kShape = 3, kOptional = 4 };

/// An array of an op. `field` is a member of the op, or a function that returns the array of an op.
template <class Op>
struct Slot {
  template <class Field>
  Slot(const char* n, Field field, unsigned r)
      : name(n),
        get([field](Op op) -> ConstView { return std::invoke(field, op); }),
        set([field](Op& op, ConstView v) {
          auto& to = std::invoke(field, op);
          to.data = const_cast<void*>(v.data), to.rows = v.rows, to.cols = v.cols, to.dtype = v.dtype;
        }),
        rule(r) {}
  const char* name;
  std::function<ConstView(Op)> get;
  std::function<void(Op&, ConstView)> set;
  unsigned rule;
};

template <class Op>
struct Mistake {
  std::string text;
  std::function<void(Op&)> make;
};

class CheckTest : public OpTest {
 protected:
  /// Zeroed memory for one array, which overlaps no other array.
  View view(Index rows, Index cols, DType type = DType::f32) {
    arrays_.push_back(backend_.allocate(4096));
    return arrays_.back().view(rows, cols, type);
  }
  /// The same with the backend's activation type.
  View activation(Index rows, Index cols) { return view(rows, cols, type_); }
  template <class T>
  T* memory() {
    return static_cast<T*>(view(1, 1).data);
  }

  template <class Op>
  void expect_error(const std::string& text, const Op& op) {
    const std::string name = Op::name;
    SCOPED_TRACE("expecting " + name + ": ... " + text);
    try {
      backend_.run(op);
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      const std::string got = error.what();
      EXPECT_EQ(got.rfind(name + ": ", 0), 0u) << got;
      EXPECT_NE(got.find(text), std::string::npos) << got;
      EXPECT_EQ(got.find('\n'), std::string::npos) << got;
    }
  }

  /// Expects an error for each array of the op if it has a row or column too many, another type, no rows or no columns,
  /// or is missing; and for each of the further mistakes.
  template <class Op>
  void expect_checked(const Op& good, const std::vector<Slot<Op>>& slots,
                      const std::vector<Mistake<Op>>& mistakes = {}) {
    EXPECT_NO_THROW(backend_.run(good));
    for (const Slot<Op>& slot : slots) {
      const std::string name = slot.name;
      const auto broken = [&](const std::function<void(ConstView&)>& breaks) {
        Op op = good;
        ConstView v = slot.get(good);
        breaks(v);
        slot.set(op, v);
        return op;
      };
      const auto expect_shape_error = [&](const Op& op) {
        const ConstView v = slot.get(op);
        expect_error(name + " is [" + std::to_string(v.rows) + ", " + std::to_string(v.cols) + "]", op);
        expect_error("but", op);  // then comes the shape that it contradicts
      };
      if (slot.rule & kRows) expect_shape_error(broken([](ConstView& v) { ++v.rows; }));
      if (slot.rule & kCols) expect_shape_error(broken([](ConstView& v) { ++v.cols; }));
      const bool f32 = slot.get(good).dtype == DType::f32;
      expect_error(f32 ? "bf16 but must be" : "u8 but must be",
                   broken([&](ConstView& v) { v.dtype = f32 ? DType::bf16 : DType::u8; }));
      expect_error(name + " is [0, ", broken([](ConstView& v) { v.rows = 0; }));
      expect_error(", -1]", broken([](ConstView& v) { v.cols = -1; }));
      const Op missing = broken([](ConstView& v) { v = {}; });
      if (slot.rule & kOptional) {
        EXPECT_NO_THROW(backend_.run(missing)) << Op::name << " without " << name;
      } else {
        expect_error(name + " is not given", missing);
      }
    }
    for (const auto& [text, make] : mistakes) {
      Op op = good;
      make(op);
      expect_error(text, op);
    }
  }

  Noise noise() { return {1, Stream::latent, memory<std::uint32_t>(), 0}; }

 private:
  std::vector<Buffer> arrays_;
};

/// The rows of an op's row_weight, as a slot of it.
struct RowWeightOf {
  template <class Op>
  auto& operator()(Op& op) const {
    return op.row_weight.rows;
  }
};

}  // namespace cuvae::test
