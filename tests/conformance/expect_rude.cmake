# Runs the conformance program over the rude plugin of the zoo and looks for the finding of each sin.
execute_process(COMMAND ${PROGRAM} ${PLUGIN} --dir ${SCRATCH} OUTPUT_VARIABLE said RESULT_VARIABLE code)
execute_process(COMMAND ${PROGRAM} ${PLUGIN} --dir ${SCRATCH} --ref zoo:x --only deterministic OUTPUT_VARIABLE more)
string(APPEND said "${more}")
if(NOT code EQUAL 1)
  message(FATAL_ERROR "exit code ${code}, expected 1:\n${said}")
endif()
foreach(finding "the file is called zoo-rude.so, expected source-rude.so" "it allows any key" "wrote to stdout or stderr: hello from a plugin"
        "the working directory is /tmp now" "a call still ran 2 s after it was cancelled" "the same reference has the digests")
  string(FIND "${said}" "${finding}" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "not found: ${finding}\n${said}")
  endif()
endforeach()
