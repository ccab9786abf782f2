# A likelihood or activation without one of its parts must not compile, and the compiler must name the part. This adds
# enumerators, and then one part after another, to copies of the headers in FOLDER, and compiles these with COMPILER.
file(REMOVE_RECURSE ${FOLDER})
file(MAKE_DIRECTORY ${FOLDER})

function(copy_headers)
  file(COPY ${SOURCE}/include/cuvae DESTINATION ${FOLDER}/include)
  file(COPY ${SOURCE}/src/math DESTINATION ${FOLDER}/src)
endfunction()

# Inserts the text `after` behind the text `before` in the copy of a file. The file must contain `before`.
function(insert file before after)
  file(READ ${FOLDER}/${file} text)
  string(FIND "${text}" "${before}" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "${file} does not contain '${before}'")
  endif()
  string(REPLACE "${before}" "${before}${after}" text "${text}")
  file(WRITE ${FOLDER}/${file} "${text}")
endfunction()

file(WRITE ${FOLDER}/use.cpp [[
#include "math/likelihoods.h"
int outputs_of(cuvae::Likelihood likelihood) {
  return cuvae::math::with_likelihood(likelihood, []<class Formula>() { return Formula::outputs; });
}
float activated(cuvae::Activation activation, float x) {
  return cuvae::math::with_activation(activation, [=]<cuvae::Activation A>() { return cuvae::math::activate<A>(x); });
}
]])

# Compiles. The errors must match `pattern`; if it is empty, there must be no error.
function(expect_error pattern)
  execute_process(COMMAND ${COMPILER} -std=c++20 -fsyntax-only -Wall -Wextra -Werror -I ${FOLDER}/include -I ${FOLDER}/src
                          ${FOLDER}/use.cpp RESULT_VARIABLE failed ERROR_VARIABLE text)
  if(pattern STREQUAL "" AND failed)
    message(FATAL_ERROR "does not compile:\n${text}")
  elseif(NOT pattern STREQUAL "" AND NOT (failed AND text MATCHES "${pattern}"))
    message(FATAL_ERROR "no error that matches '${pattern}' but:\n${text}")
  endif()
endfunction()

copy_headers()
expect_error("")
insert(include/cuvae/types.h "enum class Activation : std::uint8_t { identity," " unheard_of,")
expect_error("unheard_of.* not handled in switch")
insert(src/math/formulas.h "switch (act) {" "case Activation::unheard_of: return f.template operator()<Activation::unheard_of>();")
expect_error("an activation without its formula")

copy_headers()
insert(include/cuvae/types.h "enum class Likelihood : std::uint8_t {" " unheard_of,")
expect_error("a row of kLikelihoods is not at the place of its enumerator")

copy_headers()
insert(include/cuvae/types.h "Townsend, Bird and Barber 2019" "\n unheard_of,")
expect_error("unheard_of.* not handled in switch")
insert(src/math/likelihoods.h "switch (likelihood) {" "case unheard_of: return call.template operator()<unheard_of, BernoulliFormula>();")
expect_error("kLikelihoods|traits\\(L\\)")  # the enumerator has no row: an index beyond the end of the table
insert(include/cuvae/likelihood.h "kLikelihoods[] = {" "{.likelihood = Likelihood::unheard_of, .name = \"unheard-of\"},")
expect_error("a row of kLikelihoods is not at the place of its enumerator")

copy_headers()
insert(include/cuvae/types.h "Townsend, Bird and Barber 2019" "\n unheard_of,")
insert(src/math/likelihoods.h "switch (likelihood) {" "case unheard_of: return call.template operator()<unheard_of, BernoulliFormula>();")
insert(include/cuvae/likelihood.h ".values = 256,\n     .unit_interval = true}," "{.likelihood = Likelihood::unheard_of, .name = \"unheard-of\", .outputs = 3},")
expect_error("the table has other outputs than the formula")
insert(include/cuvae/likelihood.h ".name = \"unheard-of\", .outputs = " "1 + 0 * ")
expect_error("")
