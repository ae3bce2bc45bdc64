# SPDX-License-Identifier: Apache-2.0
# Owns an instance of the demo and test application (t/app/appd) and its control port. Does not
# speak HTTP with it: that is HA::Client.
package HA::App;
use v5.36;

use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(time);

use HA::Client;
use HA::Log;

use constant {START_TRIES => 5, CONTROL_SECONDS => 15, LET_GO_SECONDS => 2,
    READ_BYTES => 65536};

# Options: route; context; sticky; health; reissue => 1; tls => [CERT, KEY]; unix => 1 listens on a
# Unix-domain socket as well; ledger => 1 keeps a ledger in a file, see seen; zones => 1 speaks L1
# of doc/zones.md; args => [...] further arguments.
sub new($class, $t, $name, %opt)
{
    return bless {t => $t, name => $name, %opt}, $class;
}

sub _arguments($self)
{
    my @names = grep {defined $self->{$_}} qw(name route context sticky health);
    my @args = map {"-$_=$self->{$_}"} @names;
    push @args, "-listen=127.0.0.1:$self->{port}", "-control=127.0.0.1:$self->{control_port}";
    push @args, '-listen=unix:' . $self->socket if $self->{unix};
    push @args, "-tls-cert=$self->{tls}[0]", "-tls-key=$self->{tls}[1]" if $self->{tls};
    push @args, '-ledger=' . $self->_ledger_file if $self->{ledger};
    push @args, '-reissue' if $self->{reissue};
    push @args, '-zones=l1' if $self->{zones};
    push @args, '-ports-file=' . $self->_ports_file, @{$self->{args} // []};
    return @args;
}

sub _ports_file($self)
{
    return $self->{t}->dir("$self->{name}.ports");
}

sub _ledger_file($self)
{
    return $self->{t}->dir("$self->{name}.ledger");
}

# Starts the instance, on the same ports each time, and waits until it listens.
sub start($self)
{
    my $t = $self->{t};
    my $first = !$self->{port};
    for (1 .. START_TRIES) {
        $self->{port} //= $t->port;
        $self->{control_port} //= $t->port;
        unlink $self->_ports_file;
        $self->{pid} = $t->spawn(
            $self->{name}, cmd => [HA::Test::top_builddir() . '/t/app/appd', $self->_arguments]
        );
        $t->wait_for(
            sub { -e $self->_ports_file || !$self->running },
            15, "the start of $self->{name}"
        );
        return $self if $self->running;
        $t->may_fail($self->{pid});
        last if !$first;
        delete @$self{qw(port control_port)};
    }
    die "$self->{name} did not start:\n" . HA::Log->new($t->dir("$self->{name}.out"))->text;
}

sub name($self)    { return $self->{name} }
sub port($self)    { return $self->{port} }
sub address($self) { return "127.0.0.1:$self->{port}" }
sub socket($self)  { return $self->{t}->dir("$self->{name}.sock") }
sub pid($self)     { return $self->{pid} }

sub url($self, $path = '')
{
    return ($self->{tls} ? 'https' : 'http') . '://' . $self->address . $path;
}

sub running($self)
{
    return $self->{pid} && !defined $self->{t}->ended($self->{pid});
}

# A client that speaks with the instance itself.
sub client($self, %opt)
{
    return HA::Client->new(port => $self->{port}, %opt);
}

# --- its process ----------------------------------------------------------------------------------

sub _end($self, $signal)
{
    my $t = $self->{t};
    delete $self->{control};
    $t->signal($self->{pid}, 'CONT') if $self->{paused};
    delete $self->{paused};
    $t->signal($self->{pid}, $signal);
    $t->wait_end($self->{pid});
    return;
}

# Ends it without and with notice; start brings it back on the same ports, without its sessions.
sub kill($self)
{
    return $self->_end('KILL');
}

sub stop($self)
{
    return $self->_end('TERM');
}

sub restart($self)
{
    $self->stop if $self->running;
    return $self->start;
}

# Stops its clock and lets it go on: SIGSTOP, SIGCONT.
sub pause($self)
{
    $self->{t}->signal($self->{pid}, 'STOP');
    $self->{paused} = 1;
    $self->{t}->wait_stopped($self->{pid});
    return;
}

sub resume($self)
{
    $self->{t}->signal($self->{pid}, 'CONT');
    delete $self->{paused};
    return;
}

# --- its control port -----------------------------------------------------------------------------

sub _control_socket($self, $timeout)
{
    my @peer = (PeerAddr => '127.0.0.1', PeerPort => $self->{control_port});
    $self->{control} //= IO::Socket::INET->new(@peer, Timeout => $timeout)
        // die "$self->{name}: control port: $!\n";
    return $self->{control};
}

# The answer to a command as text, without the dot at its end. A connection that failed is not used
# again: the answer could still come and be taken for another one's.
sub _answer($self, $command, $timeout)
{
    my $until = time + $timeout;
    my $socket = $self->_control_socket($timeout);
    delete $self->{control};
    syswrite($socket, "$command\n") or die "$self->{name}: control port: $!\n";
    my $answer = "\n";
    until (substr($answer, -3) eq "\n.\n") {
        my $left = $until - time;
        die "$self->{name}: $command: no answer for $timeout s\n" if $left <= 0;
        next if !IO::Select->new($socket)->can_read($left);
        sysread($socket, $answer, READ_BYTES, length $answer)
            or die "$self->{name}: $command: the control port was closed\n";
    }
    $self->{control} = $socket;
    return substr $answer, 1, -2;
}

# Runs a command. The lines of its answer; dies when it is refused, or not answered in time.
sub control($self, $command, $timeout = CONTROL_SECONDS)
{
    my @lines = split /\n/, $self->_answer($command, $timeout);
    my ($error) = grep {/^error:/} @lines;
    die "$self->{name}: $command: $error\n" if $error;
    return @lines;
}

sub slow($self, $ms)                    { $self->control("slow $ms");              return }
sub hang($self, $which = '')            { $self->control("hang $which");           return }
sub release($self)                      { $self->control('release');               return }
sub refuse($self)                       { $self->control('refuse');                return }
sub accept($self)                       { $self->control('accept');                return }
sub reset($self, $where, $count = '')   { $self->control("reset $where $count");   return }
sub status($self, $status, $count = '') { $self->control("status $status $count"); return }
sub health($self, $how)                 { $self->control("health $how");           return }
sub pieces($self, $bytes)               { $self->control("pieces $bytes");         return }
sub flood($self, $what, $count = '')    { $self->control("flood $what $count");    return }
sub barrier_hold($self)                 { $self->control('barrier hold');          return }
sub barrier_open($self)                 { $self->control('barrier open');          return }
sub ledger_clear($self)                 { $self->control('ledger clear');          return }
sub answers_hold($self, $count = '')    { $self->control("answers hold $count");   return }
sub answers_open($self)                 { $self->control('answers open');          return }
sub zone_forget($self)                  { $self->control('zone forget');           return }
sub zone_pad($self, $bytes)             { $self->control("zone pad $bytes");       return }
sub zone_ttl($self, $seconds)           { $self->control("zone ttl $seconds");     return }
sub zone_rules($self, $how)             { $self->control("zone rules $how");       return }

# Waits until n requests, or n answers, are held; dies when they are not after that time.
sub barrier_wait($self, $n, $ms = 10000)
{
    $self->control("barrier wait $n $ms", $ms / 1000 + CONTROL_SECONDS);
    return;
}

sub answers_wait($self, $n, $ms = 10000)
{
    $self->control("answers wait $n $ms", $ms / 1000 + CONTROL_SECONDS);
    return;
}

sub _escaped($bytes)
{
    return $bytes =~ s/([^!-\[\]-~])/sprintf '\\x%02x', ord $1/ger;
}

# Answers are these bytes, and then the connection does as `then` says: stay, close, reset. Without
# arguments they are its own again.
sub raw($self, $then = 'none', $bytes = '', $count = '')
{
    $self->control("raw $then " . _escaped($bytes) . " $count");
    return;
}

# Answers have these field lines instead of its own about sessions, given without their ends: all
# answers, or with `count` the next ones. Without lines they are its own again.
sub zone_say($self, $lines = undef, $count = '')
{
    my $bytes = join '', map {"$_\r\n"} @{$lines // []};
    $self->control('zone say ' . ($lines ? _escaped($bytes) : 'none') . " $count");
    return;
}

# What it has heard and said of sessions, see t/app/README.md.
sub zone_count($self)
{
    return {map {split / /} $self->control('zone count')};
}

# Its sessions: {id => {epoch, version, visits, items}}.
sub zone_sessions($self)
{
    my %sessions;
    for my $line ($self->control('zone sessions')) {
        my ($id, @values) = split / /, $line;
        @{$sessions{$id}}{qw(epoch version visits items)} = @values;
    }
    return \%sessions;
}

# Closes connections that wait for a next request. How many they were.
sub close_idle($self)
{
    return ($self->control('close idle'))[0] =~ /(\d+)/ ? $1 : 0;
}

# The requests it saw: a list of {sequence, method, path, tag, length, phase}.
sub ledger($self)
{
    my @names = qw(sequence method path tag length phase);
    my @entries;
    for my $line ($self->control('ledger')) {
        my %entry;
        @entry{@names} = split / /, $line;
        push @entries, \%entry;
    }
    return @entries;
}

# Requests that it and the processes before it have seen, killed or not: {tag => how often}.
sub seen($self)
{
    my %times;
    open(my $in, '<', $self->_ledger_file) or die "$self->{name} keeps no ledger in a file: $!\n";
    while (my $line = <$in>) {
        my (undef, undef, $tag) = split ' ', $line;
        $times{$tag}++ if $tag ne '-';
    }
    return \%times;
}

# Its counters, see t/app/README.md.
sub count($self)
{
    return {map {split / /} $self->control('count')};
}

# Its sessions: {id => visits}.
sub sessions($self)
{
    return {map {split / /} $self->control('sessions')};
}

# Ends every wait that a test has left in it, so that a server in front can stop.
sub let_go($self)
{
    return if !$self->running;
    $self->resume if $self->{paused};
    $self->control($_, LET_GO_SECONDS)
        for 'release', 'raw none', 'barrier open', 'answers open', 'health ok';
    return;
}

1;
