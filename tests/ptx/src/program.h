// A kernel in the interpreter: instructions with numbered registers, parameters, shared variables.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "numbers.h"

namespace ptx {

// clang-format off
enum class Opcode : u8 {
  bra, ret, bar, membar, shfl, atom_inc, ld, st, mov, pack, unpack, selp, setp, cvt,
  add_32, add_64, add_16, sub_32, sub_64, neg_32, neg_64, mul_lo_32, mul_lo_64, mul_hi_u32, mul_hi_s32, mul_hi_u64,
  mul_hi_s64, mul_wide_u32, mul_wide_s32, mul_wide_u16, mul_wide_s16, mad_lo_32, mad_lo_64,
  div_u32, div_s32, div_u64, div_s64, rem_u32, rem_s32, rem_u64, rem_s64,
  min_u32, min_s32, min_u64, min_s64, max_u32, max_s32, max_u64, max_s64, abs_s32, abs_s64,
  and_, or_, xor_, not_16, not_32, not_64, not_pred, shl_16, shl_32, shl_64, shr_u16, shr_u32, shr_s32, shr_u64, shr_s64,
  add_f32, add_rz_f32, sub_f32, mul_f32, fma_f32, fma_rm_f32, div_f32, rcp_f32, sqrt_f32, neg_f32, abs_f32,
  copysign_f32, min_f32, max_f32, ex2_approx, lg2_approx, rcp_approx_f32,
  add_f64, sub_f64, mul_f64, fma_f64, div_f64, rcp_f64, sqrt_f64, neg_f64, abs_f64, min_f64, max_f64, rcp_approx_f64
};
enum class Type : u8 { B8, B16, B32, B64, U8, U16, U32, U64, S8, S16, S32, S64, F32, F64, BF16, BF16X2, Pred };
enum class Compare : u8 { eq, ne, lt, le, gt, ge, equ, neu, ltu, leu, gtu, geu, num, nan };
enum class Round : u8 { none, rn, rz, rm, rp, rni, rzi, rmi, rpi };
enum class Space : u8 { global, shared, param };
// clang-format on

/// Bytes of a value in memory or in a register.
u32 bytes_of(Type type);

struct Instruction {
  Opcode op = Opcode::ret;
  Type type = Type::B32, from = Type::B32;  // of cvt: to, from
  Compare compare = Compare::eq;
  Round round = Round::none;
  Space space = Space::global;
  u8 elements = 1, width = 4;  // of an access or a pack: elements, bytes of each
  bool past_first_cache = false, read_only = false, saturate = false, uniform = false;
  bool unless = false;           // its predicate is negated
  int predicate = -1;            // registers; -1 for none
  int to[4] = {-1, -1, -1, -1};  // destinations
  int of[4] = {-1, -1, -1, -1};  // sources
  int base = -1;                 // of an address
  s64 offset = 0;                // of an address
  int target = -1;               // of a branch
  int line = 0;                  // in the kernel's body
  std::shared_ptr<std::string> text;
};

/// A shared variable at its address in the block's shared memory.
struct SharedVariable {
  std::string name;
  u32 bytes = 0, align = 1, at = 0;
};

struct Parameter {
  std::string name;
  u32 offset = 0, bytes = 0;
};

struct Kernel {
  std::string name;    // mangled, as in the PTX
  std::string pretty;  // readable, without namespaces
  std::vector<Parameter> parameters;
  u32 parameter_bytes = 0, max_threads = 1024;
  std::string body;                                     // its text
  std::shared_ptr<std::vector<SharedVariable>> module;  // the shared variables of its module

  // After parsing:
  std::vector<Instruction> code;  // ends with ret
  int registers = 0;
  std::vector<std::pair<int, u64>> constants;  // registers with the values that they always have
  std::map<std::string, int> specials;         // registers of %tid.x and similar names
  std::vector<SharedVariable> shared;
  u32 shared_bytes = 0;
};

// Addresses that the host cannot have. Shared variables have gaps between them, so that each has its own bounds.
inline constexpr u64 kSharedBase = 0x1000, kParameterBase = 0x4000000000000000u;

/// "kernel line 12: st.global.f32 ...", for reports.
std::string place(const Kernel& kernel, const Instruction& instruction);

// module.cpp
/// Reads the kernels of a module's PTX.
void load(const std::string& text);
/// The kernel, parsed, or null.
const Kernel* find_kernel(const std::string& name);

// parser.cpp
void parse(Kernel& kernel);
/// "[.align n] .type name[size]": a shared variable, or a parameter.
SharedVariable parse_variable(const std::string& declaration);
Type parse_type(const std::string& name);

// opcodes.cpp
/// The opcode of an arithmetic instruction, such as "fma.rn.f32". Ends the program if it is unknown.
Opcode parse_arithmetic(const std::string& name);

}  // namespace ptx
