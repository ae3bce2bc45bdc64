# SPDX-License-Identifier: Apache-2.0
# Owns the table of workloads: what is asked of every contender. Does not run any.
package Bench::Workload;
use v5.36;

use constant {KB => 1024, SMALL_BYTES => 100, IDLE_CLIENTS => 9000, SLOW_REQUESTS => 500};

# Who takes part where nothing else is said, in the order of the table that is printed.
my @usual = qw(forward stock standard lane haproxy nginx);

my %default = (
    kind => 'closed',
    contenders => \@usual,
    method => 'GET',
    path => '/',
    upload => 0,
    answer => SMALL_BYTES,
    clients => 32,
    members => 2,
    threads => 64,
    close => 0,
    sticky => 0,
);

# Keys: kind, how it is measured (Bench::Measure); contenders, who takes part; method, path and
# upload, the bytes of a request's body; answer, the bytes of an answer's body; clients; members;
# threads, the ThreadsPerChild of the one child of httpd; close, a connection each; sticky, requests
# that bring a session.
my @table = (
    small => {title => 'small answers, 32 keep-alive clients'},
    c256 => {title => 'small answers, 256 keep-alive clients', clients => 256, threads => 256},
    '64k' => {title => 'answers of 64 KB, 32 clients', path => '/64k', answer => 64 * KB},
    '1m' => {title => 'answers of 1 MB, 32 clients', path => '/1m', answer => KB * KB},
    chunked => {
        title => 'chunked answers of 64 KB, in chunks of 4 KB, 32 clients',
        path => '/chunked',
        answer => 64 * KB,
    },
    upload16k => {title => 'uploads of 16 KB, 32 clients', method => 'POST', upload => 16 * KB},
    upload1m => {title => 'uploads of 1 MB, 32 clients', method => 'POST', upload => KB * KB},
    close => {
        title => 'a connection per request, 32 clients',
        close => 1,
        contenders => [qw(forward stock standard lane listen haproxy nginx)],
    },
    sticky2 => {title => 'sessions on 2 members, 32 clients', sticky => 1},
    sticky100 => {title => 'sessions on 100 members, 32 clients', sticky => 1, members => 100},
    slow500 => {
        title => '500 requests at once for answers that take 1 s; httpd has 25 threads',
        kind => 'burst',
        path => '/slow',
        clients => SLOW_REQUESTS,
        threads => 25,
    },
    threads64 => {
        title => 'small answers, 256 keep-alive clients; httpd has 64 threads',
        clients => 256,
    },
    idle9000 => {
        title => 'small answers, 32 clients beside 9,000 idle ones',
        kind => 'idle',
        threads => 128,
    },
    accesslog => {
        title => 'small answers, 32 clients, access log on',
        kind => 'log',
        contenders => [qw(stock standard lane haproxy nginx)],
    },
    half => {title => 'time to answer at half of saturation', kind => 'half'},
);

my @names = map {$table[2 * $_]} 0 .. $#table / 2;
my %by_name = map {$_ => {%default, name => $_, %{{@table}->{$_}}}} @names;

# What --quick runs: one each of what differs most, in less than a minute.
my @quick = qw(small 64k upload16k close sticky2);

# Names of all, in order.
sub names($class) { return @names }
sub quick($class) { return @quick }

# A workload by name; undef if there is none.
sub find($class, $name) { return $by_name{$name} }

1;
