// The body of a kernel: statements become instructions, names become registers.
#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <map>
#include <unordered_map>

#include "problems.h"
#include "program.h"
#include "text.h"

namespace ptx {
namespace {

constexpr u32 kGap = 128;  // between shared variables, so that an access past one does not reach the next

struct Statement {
  std::string text;  // "name:" for a label
  int line;
};

bool is_variable(const std::string& statement) { return words(statement).front() == ".shared"; }

// Statements end with semicolons; braces that enclose whole statements are scopes and are left out.
std::vector<Statement> statements_of(const std::string& body) {
  std::vector<Statement> all;
  std::string text;
  int line = 0;
  const auto finish = [&](const std::string& suffix) {
    if (!trimmed(text).empty()) all.push_back({trimmed(text) + suffix, line});
    text.clear();
  };
  for (const char c : body) {
    if (c == '\n') ++line;
    if (c == ';')
      finish("");
    else if (c == ':' && trimmed(text).starts_with('$'))
      finish(":");
    else if ((c == '{' || c == '}') && trimmed(text).empty())
      text.clear();
    else
      text += c == '\n' ? ' ' : c;
  }
  return all;
}

class Parser {
 public:
  explicit Parser(Kernel& kernel) : k_(kernel) {}

  void run() {
    const std::vector<Statement> statements = statements_of(k_.body);
    for (const SharedVariable& v : *k_.module)
      if (k_.body.find(v.name) != std::string::npos) place_shared(v);
    for (const Statement& s : statements)
      if (is_variable(s.text)) place_shared(parse_variable(s.text));
    for (const Statement& s : statements) {
      if (s.text.back() == ':')
        labels_[s.text.substr(0, s.text.size() - 1)] = static_cast<int>(k_.code.size());
      else if (s.text.front() != '.')  // .reg, .shared, .pragma
        k_.code.push_back(instruction(s));
    }
    k_.code.push_back({});
    k_.code.back().text = std::make_shared<std::string>("the end");
    for (const auto& [i, label] : branches_) {
      const auto found = labels_.find(label);
      if (found == labels_.end()) unknown("the label " + label);
      k_.code[i].target = found->second;
    }
    for (const auto& [name, r] : registers_)
      if (name == "%laneid" || name.find("tid.") != std::string::npos || name.find("ctaid.") != std::string::npos)
        k_.specials[name] = r;
  }

 private:
  void place_shared(SharedVariable v) {
    const u32 end = static_cast<u32>(kSharedBase) + k_.shared_bytes;
    v.at = (end + v.align - 1) / v.align * v.align;
    k_.shared_bytes = (v.at + v.bytes + kGap + 15) / 16 * 16 - static_cast<u32>(kSharedBase);
    k_.shared.push_back(v);
  }

  int register_of(const std::string& name) {
    if (name.find('|') != std::string::npos) unknown("two results in one operand, " + name);
    const auto [it, fresh] = registers_.emplace(name, k_.registers);
    if (fresh) ++k_.registers;
    return it->second;
  }
  int constant(u64 value) {
    const auto [it, fresh] = constants_.emplace(value, k_.registers);
    if (fresh) k_.constants.emplace_back(k_.registers++, value);
    return it->second;
  }
  static bool is_number(const std::string& s, u64& value) {
    const std::size_t digit = s.front() == '-' ? 1 : 0;
    if (s.size() <= digit || std::isdigit(static_cast<unsigned char>(s[digit])) == 0) return false;
    const bool is_float = s.size() > 2 && s[0] == '0' && std::string("fFdD").find(s[1]) != std::string::npos;
    value = is_float    ? std::strtoull(s.c_str() + 2, nullptr, 16)
            : digit > 0 ? static_cast<u64>(std::strtoll(s.c_str(), nullptr, 0))
                        : std::strtoull(s.c_str(), nullptr, 0);
    return true;
  }
  u64 address_of(const std::string& name) const {
    for (const SharedVariable& v : k_.shared)
      if (v.name == name) return v.at;
    for (const Parameter& p : k_.parameters)
      if (p.name == name) return kParameterBase + p.offset;
    unknown("the name " + name + " in " + k_.pretty);
  }
  int operand(const std::string& s) {
    u64 value = 0;
    if (s.empty()) unknown("an empty operand in " + k_.pretty);
    if (s.front() == '%') return register_of(s);
    return constant(is_number(s, value) ? value : address_of(s));
  }
  // Reads one operand, or several in braces. Returns how many.
  u8 operands(const std::string& s, int* out) {
    if (s.front() != '{') {
      *out = operand(s);
      return 1;
    }
    u8 n = 0;
    for (const std::string& item : split(s.substr(1, s.size() - 2), ',')) out[n++] = operand(item);
    return n;
  }
  // "[%rd1+8]", "[name+8]"
  void address(const std::string& s, Instruction& in) {
    if (s.front() != '[' || s.back() != ']') unknown("the address " + s);
    const std::string inside = s.substr(1, s.size() - 2);
    const std::size_t plus = inside.find('+');
    u64 offset = 0;
    if (plus != std::string::npos && !is_number(inside.substr(plus + 1), offset)) unknown("the address " + s);
    in.offset = static_cast<s64>(offset);
    in.base = operand(inside.substr(0, plus));
  }

  Instruction instruction(const Statement& statement) {
    Instruction in;
    in.line = statement.line;
    in.text = std::make_shared<std::string>(statement.text);
    std::string s = statement.text;
    if (s.front() == '@') {
      const std::size_t space = s.find_first_of(" \t");
      in.unless = s[1] == '!';
      in.predicate = register_of(s.substr(in.unless ? 2 : 1, space - (in.unless ? 2 : 1)));
      s = trimmed(s.substr(space));
    }
    const std::size_t space = s.find_first_of(" \t");
    const std::string name = s.substr(0, space);
    std::vector<std::string> arguments;
    if (space != std::string::npos) arguments = split(s.substr(space), ',');
    decode(name, split(name, '.'), arguments, in);
    return in;
  }

  void decode(const std::string& name, const std::vector<std::string>& parts, const std::vector<std::string>& arguments,
              Instruction& in) {
    const std::string& kind = parts.front();
    const auto has = [&](const char* part) { return std::find(parts.begin(), parts.end(), part) != parts.end(); };
    const auto simple = [&](Opcode op) {
      in.op = op;
      in.to[0] = operand(arguments[0]);
      for (std::size_t i = 1; i < arguments.size(); ++i) in.of[i - 1] = operand(arguments[i]);
    };
    if (kind == "bra") {
      in.op = Opcode::bra;
      in.uniform = has("uni");
      branches_.emplace_back(k_.code.size(), arguments[0]);
    } else if (kind == "ret" || kind == "exit") {
      in.op = Opcode::ret;
    } else if (kind == "membar" || kind == "fence") {
      in.op = Opcode::membar;
    } else if (kind == "bar") {
      if (name != "bar.sync" || arguments != std::vector<std::string>{"0"} || in.predicate >= 0) unknown(*in.text);
      in.op = Opcode::bar;
    } else if (kind == "shfl") {
      if (name != "shfl.sync.bfly.b32") unknown(*in.text);
      in.op = Opcode::shfl;
      const auto results = split(arguments[0], '|');
      for (std::size_t i = 0; i < results.size(); ++i) in.to[i] = register_of(results[i]);
      for (std::size_t i = 0; i < 4; ++i) in.of[i] = operand(arguments[i + 1]);
    } else if (kind == "atom") {
      if (name != "atom.global.inc.u32") unknown(*in.text);
      in.op = Opcode::atom_inc;
      in.to[0] = operand(arguments[0]);
      address(arguments[1], in);
      in.of[0] = operand(arguments[2]);
    } else if (kind == "ld" || kind == "st") {
      in.op = kind == "ld" ? Opcode::ld : Opcode::st;
      if (!has("shared") && !has("param") && !has("global")) unknown(*in.text);
      in.space = has("shared") ? Space::shared : has("param") ? Space::param : Space::global;
      in.past_first_cache = has("cg") || has("volatile") || has("cv");
      in.read_only = has("nc");
      in.type = parse_type(parts.back());
      in.width = static_cast<u8>(bytes_of(in.type));
      const bool loads = in.op == Opcode::ld;
      in.elements = operands(arguments[loads ? 0 : 1], loads ? in.to : in.of);
      address(arguments[loads ? 1 : 0], in);
      if ((has("v2") ? 2 : has("v4") ? 4 : 1) != in.elements) unknown(*in.text);
    } else if (kind == "mov" && (arguments[0].front() == '{' || arguments[1].front() == '{')) {
      in.op = arguments[0].front() == '{' ? Opcode::unpack : Opcode::pack;
      in.type = parse_type(parts.back());
      const u8 left = operands(arguments[0], in.to), right = operands(arguments[1], in.of);
      in.elements = std::max(left, right);
      in.width = static_cast<u8>(bytes_of(in.type) / in.elements);
    } else if (kind == "mov" || kind == "cvta") {
      simple(Opcode::mov);
      in.type = kind == "mov" ? parse_type(parts.back()) : Type::B64;  // global addresses are generic addresses
    } else if (kind == "selp") {
      simple(Opcode::selp);
    } else if (kind == "setp") {
      if (parts.size() != 3 || arguments.size() != 3) unknown(*in.text);
      simple(Opcode::setp);
      in.compare = comparison(parts[1]);
      in.type = parse_type(parts[2]);
    } else if (kind == "cvt") {
      simple(Opcode::cvt);
      in.saturate = has("sat");
      in.round = rounding(parts);
      in.type = parse_type(parts[parts.size() - 2]);
      in.from = parse_type(parts.back());
    } else {
      simple(parse_arithmetic(name));
    }
  }

  static Compare comparison(const std::string& name) {
    using enum Compare;
    static const std::map<std::string, Compare> all = {
        {"eq", eq},   {"ne", ne},   {"lt", lt},   {"le", le},   {"gt", gt},   {"ge", ge},   {"equ", equ},
        {"neu", neu}, {"ltu", ltu}, {"leu", leu}, {"gtu", gtu}, {"geu", geu}, {"num", num}, {"nan", nan}};
    const auto found = all.find(name);
    if (found == all.end()) unknown("the comparison " + name);
    return found->second;
  }
  static Round rounding(const std::vector<std::string>& parts) {
    using enum Round;
    static const std::map<std::string, Round> all = {{"rn", rn},   {"rz", rz},   {"rm", rm},   {"rp", rp},
                                                     {"rni", rni}, {"rzi", rzi}, {"rmi", rmi}, {"rpi", rpi}};
    for (const std::string& part : parts)
      if (const auto found = all.find(part); found != all.end()) return found->second;
    return none;
  }

  Kernel& k_;
  std::unordered_map<std::string, int> registers_, labels_;
  std::map<u64, int> constants_;
  std::vector<std::pair<std::size_t, std::string>> branches_;
};

}  // namespace

u32 bytes_of(Type type) {
  switch (type) {
    case Type::B8:
    case Type::U8:
    case Type::S8:
      return 1;
    case Type::B16:
    case Type::U16:
    case Type::S16:
    case Type::BF16:
      return 2;
    case Type::B64:
    case Type::U64:
    case Type::S64:
    case Type::F64:
      return 8;
    default:
      return 4;
  }
}

Type parse_type(const std::string& name) {
  static const std::map<std::string, Type> types = {
      {"b8", Type::B8},         {"b16", Type::B16},  {"b32", Type::B32}, {"b64", Type::B64}, {"u8", Type::U8},
      {"u16", Type::U16},       {"u32", Type::U32},  {"u64", Type::U64}, {"s8", Type::S8},   {"s16", Type::S16},
      {"s32", Type::S32},       {"s64", Type::S64},  {"f32", Type::F32}, {"f64", Type::F64}, {"bf16", Type::BF16},
      {"bf16x2", Type::BF16X2}, {"pred", Type::Pred}};
  const auto found = types.find(name);
  if (found == types.end()) unknown("the type " + name);
  return found->second;
}

SharedVariable parse_variable(const std::string& declaration) {
  const std::vector<std::string> all = words(declaration);
  SharedVariable v;
  for (std::size_t i = 0; i + 1 < all.size(); ++i)
    if (all[i] == ".align") v.align = static_cast<u32>(std::stoul(all[i + 1]));
  const std::size_t open = all.back().find('[');
  v.name = all.back().substr(0, open);
  v.bytes = bytes_of(parse_type(all[all.size() - 2].substr(1)));
  if (open != std::string::npos) v.bytes *= static_cast<u32>(std::stoul(all.back().substr(open + 1)));
  return v;
}

void parse(Kernel& kernel) { Parser(kernel).run(); }

}  // namespace ptx
