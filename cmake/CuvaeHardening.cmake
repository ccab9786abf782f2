# Options that end the program if the bytes of a file make it access wrong memory. They are for this project's own code
# in release builds, never for programs that link it. The element-wise passes read no files and do not get them.
include(CheckPIESupported)
check_pie_supported(OUTPUT_VARIABLE ignored LANGUAGES CXX)

function(cuvae_harden target)
  if(CUVAE_SANITIZE OR CUVAE_FUZZ)
    return()
  endif()
  target_compile_options(${target} PRIVATE
    $<$<AND:$<CONFIG:Release>,$<COMPILE_LANGUAGE:CXX>>:-fstack-protector-strong;-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=2>)
  get_target_property(type ${target} TYPE)
  if(NOT type STREQUAL "STATIC_LIBRARY" AND NOT APPLE)
    target_link_options(${target} PRIVATE $<$<CONFIG:Release>:-Wl,-z,relro,-z,now>)
  endif()
endfunction()

# For code that consists of calls of CLI11 and JSON. With sanitizers it takes long to compile, and it does little work: so it
# is not optimised then, and UndefinedBehaviorSanitizer does not check every pointer. AddressSanitizer does.
function(cuvae_fast_sanitizers target)
  if(CUVAE_SANITIZE)
    target_compile_options(${target} PRIVATE -O0)
  endif()
  if(CUVAE_SANITIZE MATCHES undefined)
    target_compile_options(${target} PRIVATE -fno-sanitize=null,alignment,vptr,object-size)
  endif()
endfunction()
