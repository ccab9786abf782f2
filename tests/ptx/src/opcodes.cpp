// The arithmetic instructions in nvcc's output. Those without rounding or .ftz in their name are exact.
#include <map>

#include "problems.h"
#include "program.h"

namespace ptx {

Opcode parse_arithmetic(const std::string& name) {
  using enum Opcode;
  // clang-format off
  static const std::map<std::string, Opcode> opcodes = {
      {"add.s16", add_16}, {"add.u16", add_16}, {"add.s32", add_32}, {"add.u32", add_32}, {"add.s64", add_64},
      {"add.u64", add_64}, {"sub.s32", sub_32}, {"sub.u32", sub_32}, {"sub.s64", sub_64}, {"sub.u64", sub_64},
      {"neg.s32", neg_32}, {"neg.s64", neg_64},
      {"mul.lo.s32", mul_lo_32}, {"mul.lo.u32", mul_lo_32}, {"mul.lo.s64", mul_lo_64}, {"mul.lo.u64", mul_lo_64},
      {"mul.hi.u32", mul_hi_u32}, {"mul.hi.s32", mul_hi_s32}, {"mul.hi.u64", mul_hi_u64}, {"mul.hi.s64", mul_hi_s64},
      {"mul.wide.u32", mul_wide_u32}, {"mul.wide.s32", mul_wide_s32}, {"mul.wide.u16", mul_wide_u16},
      {"mul.wide.s16", mul_wide_s16}, {"mad.lo.s32", mad_lo_32}, {"mad.lo.u32", mad_lo_32}, {"mad.lo.s64", mad_lo_64},
      {"mad.lo.u64", mad_lo_64},
      {"div.u32", div_u32}, {"div.s32", div_s32}, {"div.u64", div_u64}, {"div.s64", div_s64},
      {"rem.u32", rem_u32}, {"rem.s32", rem_s32}, {"rem.u64", rem_u64}, {"rem.s64", rem_s64},
      {"min.u32", min_u32}, {"min.s32", min_s32}, {"min.u64", min_u64}, {"min.s64", min_s64},
      {"max.u32", max_u32}, {"max.s32", max_s32}, {"max.u64", max_u64}, {"max.s64", max_s64},
      {"abs.s32", abs_s32}, {"abs.s64", abs_s64},
      {"and.b16", and_}, {"and.b32", and_}, {"and.b64", and_}, {"and.pred", and_},
      {"or.b16", or_}, {"or.b32", or_}, {"or.b64", or_}, {"or.pred", or_},
      {"xor.b16", xor_}, {"xor.b32", xor_}, {"xor.b64", xor_}, {"xor.pred", xor_},
      {"not.b16", not_16}, {"not.b32", not_32}, {"not.b64", not_64}, {"not.pred", not_pred},
      {"shl.b16", shl_16}, {"shl.b32", shl_32}, {"shl.b64", shl_64}, {"shr.u16", shr_u16}, {"shr.u32", shr_u32}, {"shr.b32", shr_u32},
      {"shr.s32", shr_s32}, {"shr.u64", shr_u64}, {"shr.b64", shr_u64}, {"shr.s64", shr_s64},
      {"add.f32", add_f32}, {"add.rn.f32", add_f32}, {"add.rz.f32", add_rz_f32}, {"sub.f32", sub_f32},
      {"sub.rn.f32", sub_f32}, {"mul.f32", mul_f32}, {"mul.rn.f32", mul_f32}, {"fma.rn.f32", fma_f32},
      {"fma.rm.f32", fma_rm_f32}, {"div.rn.f32", div_f32}, {"rcp.rn.f32", rcp_f32}, {"sqrt.rn.f32", sqrt_f32},
      {"neg.f32", neg_f32}, {"abs.f32", abs_f32}, {"copysign.f32", copysign_f32}, {"min.f32", min_f32},
      {"max.f32", max_f32}, {"ex2.approx.ftz.f32", ex2_approx}, {"lg2.approx.ftz.f32", lg2_approx},
      {"rcp.approx.ftz.f32", rcp_approx_f32},
      {"add.f64", add_f64}, {"add.rn.f64", add_f64}, {"sub.f64", sub_f64}, {"sub.rn.f64", sub_f64},
      {"mul.f64", mul_f64}, {"mul.rn.f64", mul_f64}, {"fma.rn.f64", fma_f64}, {"div.rn.f64", div_f64},
      {"rcp.rn.f64", rcp_f64}, {"sqrt.rn.f64", sqrt_f64}, {"neg.f64", neg_f64}, {"abs.f64", abs_f64},
      {"min.f64", min_f64}, {"max.f64", max_f64}, {"rcp.approx.ftz.f64", rcp_approx_f64}};
  // clang-format on
  const auto found = opcodes.find(name);
  if (found == opcodes.end()) unknown(name);
  return found->second;
}

}  // namespace ptx
