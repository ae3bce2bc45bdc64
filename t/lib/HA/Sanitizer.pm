# SPDX-License-Identifier: Apache-2.0
# Owns what sanitizers are told, and which of their reports count. Does not know who runs with one.
package HA::Sanitizer;
use v5.36;

# The environment of a process that writes its reports to a folder. `lean`: what is freed is given back.
sub env($dir, $lean)
{
    my $log = "$dir/report";
    return (
        ASAN_OPTIONS => "detect_leaks=0:handle_segv=2:log_path=$log" . ($lean ? ":quarantine_size_mb=0" : ""),
        UBSAN_OPTIONS => "print_stacktrace=1:log_path=$log",
        TSAN_OPTIONS => "exitcode=0:log_path=$log",
    );
}

use constant OURS => qr{ \S*/(?:mod_haproxy|lib)(?:/\w+)+\.[ch]:};

# The thread sanitizer does not see how httpd and APR, built without it, order their accesses, such
# as to a pool that one thread gave back and another one took. Only what it says of code of ours
# counts, of a race where both sides are; a side without its stack may be.
sub _is_of_ours($report)
{
    return $report =~ /SUMMARY: .*@{[OURS]}/ if $report !~ /SUMMARY: ThreadSanitizer: data race/;
    my @sides = grep {/^ *(?:Previous )?(?:atomic )?(?:read|write) of size /i} split /\n\n/, $report;
    return !grep {$_ !~ OURS && !/failed to restore the stack/} @sides;
}

sub _reports_in($path)
{
    open(my $in, '<', $path) or return;
    my $all = join '', <$in>;
    if ($all =~ /ThreadSanitizer/) {
        return map {/^(SUMMARY: .*)/m} grep {/^SUMMARY: /m && _is_of_ours($_)} split /^=+\n/m, $all;
    }
    my @lines = $all =~ /^(.*(?:ERROR: |runtime error:|WARNING: |SUMMARY: ).*)$/mg;
    return @lines ? @lines : "a sanitizer's report without a known line: $path";
}

# What counts of all that was reported there, a line each.
sub reports($dir)
{
    return map {_reports_in($_)} glob "$dir/*";
}

1;
