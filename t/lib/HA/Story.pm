# SPDX-License-Identifier: Apache-2.0
# Owns telling what happens in a demo, step by step, and which steps did not come out. Does not make
# anything happen.
package HA::Story;
use v5.36;

use Time::HiRes qw(time);

sub new($class, $t)
{
    return bless {t => $t, failed => [], signal => undef, ended => 0}, $class;
}

# A signal came: the story ends where it is told next.
sub interrupt($self, $signal)
{
    $self->{signal} = $signal;
    die "stopped by SIG$signal\n";
}

sub signal($self) { return $self->{signal} }
sub failed($self) { return @{$self->{failed}} }

# From now on signals are no matter.
sub end($self)
{
    $self->{ended} = 1;
    return;
}

# A signal may have come where nobody looked at how that ended.
sub narrate($self, $text = '')
{
    die "stopped by SIG$self->{signal}\n" if $self->{signal} && !$self->{ended};
    print "$text\n";
    return;
}

# Text of a file or a command.
sub show($self, $text)
{
    $self->narrate("    $_") for split /\n/, $text;
    return;
}

# A step of the story, and whether it came out.
sub step($self, $ok, $text)
{
    $self->narrate(($ok ? '  ok      ' : '  FAILED  ') . $text);
    push @{$self->{failed}}, $text if !$ok;
    return $ok;
}

# A step for which something is waited: what that returned, or undef. `text` makes it a sentence.
sub step_wait($self, $what, $seconds, $code, $text)
{
    my $from = time;
    my $got = eval { $self->{t}->wait_for($code, $seconds, $what) };
    die $@ if $self->{signal};
    $self->step(!!$got, $got ? sprintf 'after %.1f s %s', time - $from, $text->($got) : "in vain for $seconds s: $what");
    return $got;
}

1;
