"""User names and client ids that would change a query or a request into which they are pasted."""

INJECTIONS = ("' or '1'='1", "\\' or 1=1 -- ", "' or 1=1 # ", "%27 or 1=1", "a\r\nFLUSHALL\r\n", '{"$ne":null}', "joe*",
              "*)(uid=*", "joe,ou=other", "+/#", "a&result=allow", "%u", "%s", "{0}", "joe'", 'joe"', "joe\\")
