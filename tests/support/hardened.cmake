# Checks that PROGRAM is position-independent, has read-only relocations, and contains the checks of stack and buffers.
execute_process(COMMAND readelf --wide --file-header --program-headers --dynamic --dyn-syms ${PROGRAM}
                OUTPUT_VARIABLE text RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "readelf failed on ${PROGRAM}")
endif()
foreach(pattern "Type: +DYN" "GNU_RELRO" "FLAGS.*NOW" "__stack_chk_fail" "__[a-z]+_chk@")
  if(NOT text MATCHES "${pattern}")
    message(FATAL_ERROR "${PROGRAM}: nothing matches '${pattern}'")
  endif()
endforeach()
