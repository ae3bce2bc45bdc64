# SPDX-License-Identifier: Apache-2.0
# Owns two servers that differ in nothing but HALane, and what the same bytes come to at each of
# them, as a text that can be compared. Does not judge the difference.
package HA::Pair;
use v5.36;

use HA::Client;
use HA::Response;

# What is asked behind the bytes of a case, to see whether the connection goes on.
use constant PROBE => "GET /App/plain HTTP/1.1\r\nHost: app.example\r\nX-Request-Tag: probe\r\n"
    . "Connection: close\r\n\r\n";

# Options as HA::Httpd; in its config @LANE@ stands for what makes the difference. `app` is the
# instance whose ledger tells what has arrived, `off` is more configuration without the lane.
sub new($class, $t, %opt)
{
    my $app = delete $opt{app};
    my %server;
    for my $lane ('Off', 'On') {
        my $more = $lane eq 'Off' ? $opt{off} // '' : '';
        my $config = $opt{config} =~ s/\@LANE\@/HALane $lane\n$more/gr;
        $server{lc $lane} = $t->httpd(%opt, name => lc $lane, config => $config);
    }
    return bless {t => $t, app => $app, server => \%server}, $class;
}

# The server with ("on") or without ("off") the lane.
sub server($self, $which)
{
    return $self->{server}{$which};
}

# How many connections the lane has given back to httpd so far.
sub given($self)
{
    return $self->{server}{on}->log->count(qr/given back by the lane/);
}

# What these bytes come to at one of them. Options: methods => [...] of the requests, by default
# that of the first; how => 'pipe' sends the probe at once, 'step' after `answers` answers, 'end'
# ends our side instead of a probe; port => the n-th; whole => 1 leaves out requests that reached
# the instance in part, and as it may see them late, later ones leave them out, too.
sub outcome($self, $which, $bytes, %opt)
{
    $self->{app}->ledger_clear;
    $bytes =~ s/\r\n/\r\nX-Request-Tag: part\r\n/ if $opt{whole};
    my $server = $self->{server}{$which};
    my $client = HA::Client->new(port => $server->port($opt{port} // 1), cookies => 0, timeout => 8);
    my $how = $opt{how} // 'pipe';
    my @methods = @{$opt{methods} // [$bytes =~ /^([A-Z]+) / ? $1 : 'GET']};
    my $probe = $how eq 'end' ? '' : PROBE;
    my $all = '';
    $client->send($how eq 'pipe' ? $bytes . $probe : $bytes);
    if ($how eq 'step') {
        my $buffer = '';
        for my $n (1 .. $opt{answers}) {
            my $answer = $client->read_response($methods[$n - 1] // 'GET') // last;
            $all .= $self->_show($answer);
            last if !$client->socket;
        }
        $client->send($probe) if $client->socket;
    }
    shutdown $client->socket, 1 if $how eq 'end';
    my $rest = $client->socket ? $client->read_raw(all => 1) : '';
    my $error = $client->{error} // '';
    $all .= $self->_answers($rest, $how eq 'step' ? ('GET') : (@methods, 'GET'));
    $all .= "!$error\n" if $error;
    my @seen = grep {$_->{tag} ne 'probe'} $self->{app}->ledger;
    @seen = grep {$_->{tag} ne 'part' || ($opt{whole} && $_->{phase} ne 'head')} @seen;
    return join '', $all, sort map {"reached: $_->{method} $_->{path} $_->{length}\n"} @seen;
}

# All answers in these bytes, as text.
sub _answers($self, $bytes, @methods)
{
    my $text = '';
    for my $method (@methods) {
        last if $bytes eq '';
        my $answer = HA::Response->parse(\$bytes, $method, 1);
        $text .= $self->_show($answer);
        last if !$answer->status;
    }
    return $text . ($bytes eq '' ? '' : "and behind: $bytes\n");
}

sub _fields($answer)
{
    my @lines;
    for my $field (@{$answer->fields}) {
        my ($name, $value) = (lc $field->[0], $field->[1]);
        $value = 'DATE' if $name eq 'date' && $value =~ /GMT$/;
        push @lines, "$name: $value\n";
    }
    return sort @lines;
}

# The head as the instance saw it. Fields of one name are one list (RFC 9110 5.3): httpd joins them,
# the lane leaves them as they came.
sub _echoed($head)
{
    my ($first, @lines) = split /\r\n/, $head;
    my (%values, @names);
    for my $line (@lines) {
        my ($name, $value) = $line =~ /^([^:]+): ?(.*)$/;
        push @names, $name if !$values{lc $name};
        push @{$values{lc $name}}, $value;
    }
    my @fields = map {"  $_: " . join ', ', @{$values{lc $_}}} sort {lc $a cmp lc $b} @names;
    return join "\n", $first, @fields;
}

# Whether a body is counted or comes in chunks is up to each proxy, as long as its end is known. Of
# HEAD only the length is of use.
sub _framing($answer, @fields)
{
    my @rest = grep {!/^transfer-encoding: chunked\n/} @fields;
    my ($length) = map {/^content-length: (\d+)$/} @rest;
    return @rest if defined $length && $length != length $answer->body;
    @rest = grep {!/^content-length:/} @rest;
    my $end = defined $length || @rest < @fields ? 'known' : 'with the connection';
    return @rest, $answer->body eq '' ? () : "its end: $end\n";
}

# An answer as text: what must be the same. How a body is framed is not, as long as it is.
sub _show($self, $answer)
{
    if (!$answer->status) {
        my $received = $answer->{received} // '';
        return "(no answer) $received\n" if $received !~ /^HTTP/;
        return "(cut) $received\n";
    }
    my $text = join '', map {"interim $_->{status}\n" . join '', _fields($_)} @{$answer->interim};
    $text .= "HTTP/1.$answer->{minor} $answer->{status} $answer->{reason}\n";
    my @fields = _fields($answer);
    my $body = $answer->body;
    @fields = _framing($answer, @fields);
    if ($body =~ /^[A-Z]+ \S+ HTTP\/1.[01]\r\n.*\r\n\r\n$/s) {
        $body = _echoed($body);
        @fields = grep {!/^content-length:/} @fields;
    }
    return join '', $text, @fields, "$body\n--\n";
}

1;
