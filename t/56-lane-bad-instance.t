# SPDX-License-Identifier: Apache-2.0
# Whatever an instance does instead of a good answer, the client gets httpd's page or sees that the
# answer is cut, nobody gets the answer to another's request, and the child is as before.
use v5.36;

use HA::Mount qw(one_child);
use HA::Raw;
use HA::Test;
use HA::Usage;

use constant {UPLOAD_BYTES => 1_000_000, IDLE_TICKS => 5, ROUNDS => 1000, GROWTH_KB => 2048};

# --- what the instance does -----------------------------------------------------------------------

my $ok = "HTTP/1.1 200 OK\r\n";
my $five = "Content-Length: 5\r\n\r\nabcde";
my $chunked = "Transfer-Encoding: chunked\r\n\r\n";
my $other = "${ok}Content-Length: 4\r\n\r\nevil";
my $fields = join '', map {"X-$_: " . 'y' x 1000 . "\r\n"} 1 .. 1000;
my (@cases, %steps);

# A case: what the client may see, what is logged of it (undef: nothing), its name, and the steps.
# The end of a name says what is asked: -HEAD, -post, -early (a POST whose body is not read), GET.
sub on($seen, $why, $name, @steps)
{
    push @cases, {seen => $seen, why => $why, name => $name};
    $steps{"/App/$name"} = \@steps;
    return;
}

my $ended = 'ended before its answer';
my $broken = 'broken off within its answer';
my $framing = 'a body that breaks its framing';
my $long = 'a head that is too long';

for my $end ('close', 'reset') {
    my $within = $end eq 'close' ? $framing : $broken;
    my @end = ([$end]);
    on('refused', $ended, "$end-at-once", @end);
    on('refused', $ended, "$end-at-once-post", @end);
    on('refused', $ended, "$end-in-status", 'HTTP/1.1 20', @end);
    on('refused', $ended, "$end-in-head", "${ok}Content-Le", @end);
    on('refused', $ended, "$end-in-head-post", "${ok}Content-Le", @end);
    on('refused', $ended, "$end-before-last-line-end", "${ok}Content-Length: 5\r\n", @end);
    on('cut', $within, "$end-in-length", "${ok}Content-Length: 5\r\n\r\nabc", @end);
    on('cut', $within, "$end-before-length", "${ok}Content-Length: 5\r\n\r\n", @end);
    on('cut', $within, "$end-in-length-post", "${ok}Content-Length: 5\r\n\r\nabc", @end);
    on('cut', $within, "$end-in-long-length", "${ok}Content-Length: 9000000\r\n\r\n" . 'x' x 600_000, @end);
    on('cut', $within, "$end-before-chunks", "$ok$chunked", @end);
    on('cut', $within, "$end-in-chunk-size", "$ok${chunked}5", @end);
    on('cut', $within, "$end-in-chunk", "$ok${chunked}5\r\nabc", @end);
    on('cut', $within, "$end-behind-chunk", "$ok${chunked}5\r\nabcde\r\n", @end);
    on('cut', $within, "$end-before-last-line-of-chunks", "$ok${chunked}5\r\nabcde\r\n0\r\n", @end);
    on('passed', undef, "$end-behind-length", "$ok$five", @end);
    on('passed', undef, "$end-behind-chunks", "$ok${chunked}5\r\nabcde\r\n0\r\n\r\n", @end);
}
on('passed', undef, 'closed-body', "$ok\r\nabcde", ['close']);
on('cut', $broken, 'reset-in-closed-body', "$ok\r\nabc", ['reset']);
on('cut', $broken, 'reset-in-long-closed-body', "$ok\r\n" . 'x' x 600_000, ['reset']);

# More than was announced.
on('passed', undef, 'behind-length', "$ok${five}fghij");
on('passed', undef, 'line-end-behind-length', "$ok$five\r\n");
on('passed', undef, 'second-behind-length', "$ok$five$other");
on('passed', undef, 'second-behind-nothing', "${ok}Content-Length: 0\r\n\r\n$other");
on('passed', undef, 'behind-chunks', "$ok${chunked}5\r\nabcde\r\n0\r\n\r\nfghij");
on('passed', undef, 'second-behind-chunks', "$ok${chunked}5\r\nabcde\r\n0\r\n\r\n$other");
on('passed', undef, 'body-HEAD', "$ok$five");
on('passed', undef, 'second-HEAD', "${ok}Content-Length: 5\r\n\r\n$other");
on('passed', undef, 'body-of-204', "HTTP/1.1 204 No\r\n\r\nabcde");
on('passed', undef, 'body-of-counted-204', "HTTP/1.1 204 No\r\n$five");
on('passed', undef, 'body-of-304', "HTTP/1.1 304 No\r\n$five");
on('passed', undef, 'second-behind-304', "HTTP/1.1 304 No\r\n\r\n$other");

# Two lengths.
on('passed', undef, 'counted-chunks', "${ok}Content-Length: 5\r\n${chunked}5\r\nabcde\r\n0\r\n\r\n");
on('refused', 'more than one Content-Length', 'two-lengths', "${ok}Content-Length: 4\r\n$five");
on('refused', 'more than one Transfer-Encoding', 'two-encodings',
    "${ok}Transfer-Encoding: chunked\r\n${chunked}5\r\nabcde\r\n0\r\n\r\n");

# No answer at all.
on('refused', 'no status line', 'garbage', "garbage\r\n\r\n");
on('refused', 'no status line', 'version-2', "HTTP/2 200 OK\r\n$five");
on('refused', 'no status line', 'version-2.0', "HTTP/2.0 200\r\n$five");
on('refused', $ended, 'version-0.9', '<html>abcde</html>', ['close']);
on('refused', 'no status line', 'nul-first', "\0$ok$five");
on('refused', 'a control byte in the status line', 'nul-in-status', "HTTP/1.1 200 O\0K\r\n$five");
on('refused', 'a control byte in a field', 'nul-in-field', "${ok}X: \0\r\n$five");
on('refused', 'a line that is no field', 'nul-in-name', "${ok}X\0: y\r\n$five");
on('refused', 'a folded line', 'fold-first', "$ok X: y\r\n$five");
on('refused', 'a folded line in a field that frames', 'fold-that-matters', "${ok}Content-Length: 5\r\n 0\r\n\r\nabcde");
on('refused', 'too many fields', 'many-fields', $ok . "X: y\r\n" x 1000 . $five);
on('refused', $long, 'long-head', "$ok$fields$five");
on('refused', $long, 'long-line', "${ok}X: " . 'y' x 1_000_000 . "\r\n$five");
on('refused', $long, 'no-line', 'y' x 1_000_000);
on('refused', $long, 'endless-head', $ok, [flood => 'X: ' . 'y' x 100 . "\r\n"]);
on('refused', 'interim answers without an end', 'endless-interim', [flood => "HTTP/1.1 102 Processing\r\n\r\n"]);
on('refused', 'interim answers without an end', 'endless-continue', [flood => "HTTP/1.1 100 Continue\r\n\r\n"]);
on('refused', 'another protocol, unasked', 'upgrade',
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n$other");
on('refused', $ended, 'close-behind-interim', "HTTP/1.1 102 Processing\r\n\r\n", ['close']);
on('refused|cut', $framing, 'bad-chunk', "$ok${chunked}5\r\nabcdeX");
on('refused|cut', $framing, 'bad-size', "$ok${chunked}5\r\nabcde\r\nx\r\n");
on('refused|cut', $framing, 'endless-size', "$ok${chunked}", [flood => '0']);
on('refused|cut', $framing, 'endless-extension', "$ok${chunked}5", [flood => ';x=0123456789']);
on('refused|cut', $framing, 'endless-trailer', "$ok${chunked}5\r\nabcde\r\n0\r\n", [flood => "X: y\r\n"]);

# While the request is on its way.
on('passed|refused', undef, 'answer-early', "$ok$five", ['reset']);
on('refused|cut', undef, 'cut-early', "${ok}Content-Length: 5\r\n\r\nabc", ['reset']);
on('refused', undef, 'reset-early', ['reset']);
on('refused', undef, 'close-early', ['close']);

sub own_answer($request, @fields)
{
    my $text = $request->{target};
    return join "\r\n", 'HTTP/1.1 200 OK', @fields, 'Content-Length: ' . length $text, '', $text;
}

sub answer($request)
{
    my ($path, $n) = $request->{target} =~ /^([^?]*)(?:.*=(\d+)$)?/;
    return own_answer($request, 'Connection: close') if $path eq '/App/last';
    # Something comes when nobody has asked.
    return own_answer($request), [until => "go-$n"], $other, [note => "gone-$n"] if $path eq '/App/talk';
    return "${ok}Content-Length: $n\r\n\r\n" . 'x' x $n, [note => "sent-$n"], [until => "go-$n"], $other, [note => "gone-$n"]
        if $path eq '/App/long';
    return @{$steps{$path} // [own_answer($request)]};
}

my $t = HA::Test->new;
my $raw = HA::Raw->new($t, 'raw', early => qr/-early\?/, answer => \&answer);
my $proxy = $t->httpd(
    modules => [qw(proxy proxy_http)],
    haproxy => 1,
    mpm_config => one_child(8),
    config => <<~"CONFIG",
        <Proxy "balancer://App">
        BalancerMember "${\$raw->url}" route=raw
        </Proxy>
        HABalancer App
        HALane Require
        ProxyPass "/App" "balancer://App/App"
        ProxyPassReverse "/App" "balancer://App/App"
        <Location "/ha">
            SetHandler ha-health
        </Location>
        CONFIG
);
$t->expect_log(qr/App: member raw failed on|App: member raw: .*suspect/);
my ($child) = $proxy->children;

# --- what the client sees -------------------------------------------------------------------------

sub client
{
    return $t->client(cookies => 0);
}

# The bytes of a request with a target of its own.
sub request($target, $version = '1.1')
{
    my $method = $target =~ /-HEAD\?/ ? 'HEAD' : $target =~ /-(?:post|early)\?/ ? 'POST' : 'GET';
    my $length = $target =~ /-early\?/ ? UPLOAD_BYTES : 5;
    my @body = $method eq 'POST' ? ("Content-Length: $length") : ();
    my @lines = ("$method $target HTTP/$version", 'Host: localhost', @body, 'Connection: keep-alive');
    return ($method, join("\r\n", @lines, '', '') . (@body ? 'x' x $length : ''));
}

# What the client sees: refused, cut, passed, or what it should not.
sub seen($answer, $version)
{
    my $status = $answer->status;
    return $answer->body =~ /<title>502 / ? 'refused' : 'a page that is not httpd\'s' if $status == 502;
    return 'passed' if $status && $answer->body =~ /^(?:abcde)?$/;
    return "$status with a wrong body" if $status;
    return 'timeout' if $answer->error eq 'timeout';
    # An old client takes the end of the connection for the end of the body.
    return 'an end that looks like a good one' if $version eq '1.0' && $answer->error !~ /reset/;
    return 'cut';
}

# The lines in the log of this target.
sub log_lines($target)
{
    return grep {/failed on/ && /\Q$target\E:/} @{$proxy->log->lines};
}

# A request that is answered well. The connection that it came on.
sub good($target)
{
    my $answer = client()->get($target);
    my ($entry) = grep {$_->{target} eq $target} $raw->ledger;
    my $own = $answer->status == 200 && $answer->body eq $target;
    return $own ? $entry->{connection} : 'bad: ' . $answer->status . ' ' . substr $answer->body, 0, 100;
}

my $n = 0;

# Does a case; what was not as it should be.
sub trouble($case, $version)
{
    my $target = "/App/$case->{name}?n=" . ++$n;
    my ($method, $bytes) = request($target, $version);
    my $client = client();
    $client->send($bytes);
    my $seen = seen($client->read_response($method), $version);
    my @entries = grep {$_->{target} eq $target} $raw->ledger;
    my $next = good("/App/next?n=$n");
    # The path is what the log has.
    my @lines = grep {/failed on \/App\/\Q$case->{name}\E:/} @{$proxy->log->lines};
    my $new = @lines - ($case->{logged} // 0);
    $case->{logged} = @lines;
    my $due = $seen eq 'passed' ? 0 : 1;
    my @trouble;
    push @trouble, "the client saw $seen" if $seen !~ /^(?:$case->{seen})$/;
    push @trouble, "$new lines in the log" if $new != $due;
    push @trouble, "logged: $lines[-1]" if $due && @lines && $case->{why} && $lines[-1] !~ /: \Q$case->{why}\E$/;
    push @trouble, "$next" if $next !~ /^\d+$/;
    push @trouble, 'the connection was used again' if grep {$_->{connection} eq $next} @entries;
    push @trouble, 'it did not come' if !@entries;
    push @trouble, 'it came ' . @entries . ' times' if $method eq 'POST' && @entries > 1;
    return @trouble;
}

subtest 'an answer that is none' => sub {
    for my $case (@cases) {
        my @trouble = map {my $version = $_; map {"HTTP/$version: $_"} trouble($case, $version)} '1.1', '1.0';
        # No connection waits.
        good("/App/last?n=$n");
        push @trouble, map {"on a new connection: $_"} trouble($case, '1.1');
        is(join('; ', @trouble), '', "$case->{name}: " . $case->{seen});
        $raw->forget;
    }
};

# --- answers that nobody has asked for ------------------------------------------------------------

# The lane has read all that came on its connections to the instance.
sub is_read
{
    my $line = sprintf '^\s*\d+: \w+:\w+ \w+:%04X \w\w \w+:(\w+) ', $raw->port;
    open(my $in, '<', '/proc/net/tcp') or die "/proc/net/tcp: $!\n";
    return !grep {/$line/ && hex $1} <$in>;
}

subtest 'an answer on a connection that waits' => sub {
    is(client()->get('/App/talk?n=1')->body, '/App/talk?n=1', 'answered');
    $raw->allow('go-1');
    $raw->wait_note('gone-1');
    my ($talked) = grep {$_->{target} eq '/App/talk?n=1'} $raw->ledger;
    my $next = good('/App/next?n=talk');
    like($next, qr/^\d+$/, 'the next request gets its own answer');
    isnt($next, $talked->{connection}, 'on a new connection');
};

# Stops all threads of the child.
sub stop_child
{
    kill 'STOP', $child;
    $t->wait_for(
        sub {
            my @states = map {HA::Log->new($_)->text =~ /\) (\S)/ ? $1 : ()} glob "/proc/$child/task/*/stat";
            return !grep {$_ ne 'T'} @states;
        }
    );
    return;
}

# The loop hears of both at once, of the request first.
subtest 'an answer on a connection that waits, just behind a request' => sub {
    my $client = client();
    for my $n (2 .. 6) {
        is($client->get("/App/talk?n=$n")->body, "/App/talk?n=$n", 'answered');
        stop_child();
        $client->send((request("/App/next?n=behind-$n"))[1]);
        $raw->allow("go-$n");
        $raw->wait_note("gone-$n");
        kill 'CONT', $child;
        is($client->read_response->body, "/App/next?n=behind-$n", 'its own answer');
    }
};

# The answer is all there, but the client has not read it: then more comes. Sizes around what lies
# between the lane and the client.
subtest 'an answer behind one that is on its way to a slow client' => sub {
    my (@bad, $read);
    for (my $n = 200_000; $n < 12_000_000; $n += 200_000) {
        my $client = client();
        $client->send((request("/App/long?n=$n"))[1]);
        # Neither comes when that is too much for all that lies between.
        my $is_there = sub { is_read() && grep {$_->{what} eq "note-sent-$n"} $raw->ledger };
        last if !eval { $t->wait_for($is_there, 1) };
        $read = $n;
        $raw->allow("go-$n");
        $raw->wait_note("gone-$n");
        my $answer = $client->read_response;
        push @bad, "$n: " . length $answer->body if length $answer->body != $n;
        my $next = good("/App/next?n=slow-$n");
        push @bad, "$n: $next" if $next !~ /^\d+$/;
        $raw->forget;
        last if @bad;
    }
    is("@bad", '', "sizes up to $read");
};

# --- the child ------------------------------------------------------------------------------------

subtest 'the child is as before' => sub {
    is(join(' ', $proxy->children), $child, 'the same');
    like($t->client->get('/ha/App')->body, qr/in flight 0$/, 'nothing is in flight');
    my $ticks = HA::Usage::ticks_within($child, 1);
    cmp_ok($ticks, '<', IDLE_TICKS, 'it does nothing when there is nothing to do');
};

subtest 'memory is bounded' => sub {
    my @worst = grep {$_->{name} =~ /^(?:long|no-line|endless|reset-in-long)/} @cases;
    my $kb;
    for my $round (1 .. ROUNDS) {
        my ($method, $bytes) = request("/App/$worst[$round % @worst]{name}?n=0");
        my $client = client();
        $client->send($bytes);
        $client->read_response($method);
        $kb = HA::Usage::resident_kb($child) if $round == ROUNDS / 5;
    }
    my $grown = HA::Usage::resident_kb($child) - $kb;
    # Sanitizers keep what is freed.
    my $most = HA::Test::sanitizers() ? 'inf' : GROWTH_KB;
    cmp_ok($grown, '<', $most, 'after ' . ROUNDS . ' rounds of the worst') or diag "$kb KB before";
};

$t->done;
