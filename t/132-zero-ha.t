# SPDX-License-Identifier: Apache-2.0
# zero ha: what it says of running daemons, what it has them do, and the configuration it writes.
use v5.36;

use Cwd qw(getcwd);
use IO::Socket::UNIX;
use JSON::PP ();

use HA::Service;
use HA::Test;
use HA::Zero;
use HA::Zerod;

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();

use constant {TIMEOUT_MS => 2000, TAKEOVER_SECONDS => 20};

my $t = HA::Test->new;
my $dir = $t->dir('zero');
mkdir $dir or die "$dir: $!\n";
chdir $dir or die "$dir: $!\n";

# It outlives its daemons, as it should.
my $service = HA::Service->new($t, 'service');
END { $service->kill_all if $service }

# Runs it for a daemon: exit code, what it prints, what it says against it.
sub ha($zerod, $command, @more)
{
    return zero('ha', $command, '-c=' . $zerod->{config}, "-i=$zerod->{id}", @more);
}

# What it prints when it is done.
sub said($zerod, $command, @more)
{
    my ($code, $out, $err) = ha($zerod, $command, @more);
    die "zero ha $command @more: exit $code: $err\n" if $code != 0 || $err ne '';
    return $out;
}

sub refused($zerod, $command, @more)
{
    my ($code, $out, $err) = ha($zerod, $command, @more);
    return "$code $out$err";
}

# Who is active, by the first line of status; 'none' while nobody answers.
sub active($zerod)
{
    my (undef, $out) = ha($zerod, 'status');
    my ($id) = $out =~ /^Voting: active on (\w+), /;
    return $id // 'none';
}

# The row of a node in a table.
sub row($text, $id)
{
    my ($row) = $text =~ /^  \Q$id\E  +(.*)$/m;
    return join '|', split /  +/, $row // 'none';
}

sub wait_active($zerod, $is, $name)
{
    my $id;
    $t->wait_for(sub { ($id = active($zerod)) =~ $is && row(scalar said($zerod, 'roles'), $id) =~ /\|active\|/ }, TAKEOVER_SECONDS, $name);
    return $id;
}

# --- without a daemon -------------------------------------------------------------------------------

subtest 'S1: init makes a configuration of the list of servers' => sub {
    spew('servers', "# the first is active first\n127.0.0.2\n127.0.0.1  # the second\n");
    my @init = qw(ha init -o=config.json -app=Voting -servers=servers -witness=127.0.0.3 -port=7001 -url-port=8080);
    push @init, q(-active=/opt/a.sh 'x y' %i active), '-passive=/opt/a.sh %i passive';
    ends_with_code(\@init, 0, qr/^zero ha init: note: secret: made; /, 'it is made, and so is a secret');
    my $config = JSON::PP->new->decode(slurp('config.json'));
    is($config->{nodes}{0}{address}, '127.0.0.2:7001', 'the first line is replica 0');
    is($config->{nodes}{1}{url}, 'http://127.0.0.1:8080', 'proxies are told of the service');
    is_deeply($config->{nodes}{witness}, {address => '127.0.0.3:7001', role => 'witness'}, 'there is a witness');
    is($config->{'ensure-active-1'}, q(/opt/a.sh 'x y' 1 active), 'scripts get the id');
    is($config->{'ensure-passive-0'}, '/opt/a.sh 0 passive', 'each its own');
    like(slurp('secret'), qr/^[0-9a-f]{64}\n\z/, 'the secret has 32 bytes');
    is((stat 'secret')[2] & 07777, 0600, 'that nobody else can read');
    is(system(HA::Zerod::program(), '-c', 'config.json', '-n'), 0, 'zerod takes it');
    my @before = (slurp('config.json'), slurp('secret'), (stat 'config.json')[1]);
    ends_with_code(\@init, 0, qr/^$/, 'O6: the same again');
    is_deeply([slurp('config.json'), slurp('secret'), (stat 'config.json')[1]], \@before, 'changes nothing');
    ends_with_code([@init, '-secret=other'], 1, qr/config\.json: is there and says something else/, 'something else is refused');
    is(slurp('config.json'), $before[0], 'and changes nothing');
    ok(!-e 'other', 'nor makes a secret');
    ends_with_code([@init, '-secret=other', '-force'], 0, qr/other: made/, 'unless it is forced');
    is(JSON::PP->new->decode(slurp('config.json'))->{secretFile}, 'other', 'to do so');
    mkdir 'etc';
    ends_with_code([qw(ha init -o=etc/config.json -app=App -servers=servers)], 0, qr/nobody takes over; .*etc\/secret: made/s, 'two without a witness are warned of');
    my $printed = ends_with_code([qw(ha init -o=- -app=App -servers=servers)], 0, qr/nobody takes over/, '-o=- prints');
    is($printed, slurp('etc/config.json'), 'the same');
    is_deeply([leftovers('.')], [], 'nothing is left over');
};

subtest 'init refuses what zerod would' => sub {
    my @init = qw(ha init -o=bad.json -servers=servers);
    my %bad = (
        '-app=1x' => qr/-app/, '-port=0' => qr/-port/, '-url-port=x' => qr/-url-port/, '-active=' => qr/-active has no value/,
        '-active=a "b' => qr/a quote is not closed/, '-passive= ' => qr/names no program/, '-witness=a b' => qr/-witness/, "-active=\xff" => qr/is not UTF-8/
    );
    for my $option (sort keys %bad) {
        ends_with_code([@init, ($option =~ /^-app/ ? () : '-app=App'), $option], 2, $bad{$option}, $option);
    }
    ends_with_code([@init, qw(-app=App -witness=127.0.0.1)], 1, qr/is a server already/, 'a witness that is a server');
    ends_with_code([@init], 2, qr/-app= is missing/, 'no name');
    spew('bad', "a\nb c\n");
    ends_with_code([qw(ha init -o=bad.json -app=App -servers=bad)], 1, qr/^zero ha init: bad:2: "b c" is more than one word/, 'a list with a mistake');
    ends_with_code([qw(ha init -o=bad.json -app=App -servers=none)], 3, qr/^zero ha init: none: /, 'a list that is not there');
    spew('short', "x\n");
    chmod 0600, 'short';
    ends_with_code([@init, qw(-app=App -secret=short -witness=w)], 1, qr/short: has less than 32 bytes/, 'a short secret');
    chmod 0644, 'short';
    ends_with_code([@init, qw(-app=App -secret=short -witness=w)], 3, qr/short: /, 'one that others can read');
    spew('long', ('h' x 60 . '.') x 3 . "example\n");
    ends_with_code([qw(ha init -o=bad.json -app=App -servers=long -url-port=80)], 1, qr/^zero ha init: /, 'a URL that proxies would not take');
    ok(!-e 'bad.json', 'and nothing is written');
};

subtest 'where no daemon is, it says what to do' => sub {
    my $data = "$dir/data";
    my $config = spew('find.json', JSON::PP->new->encode({appName => 'Voting', timeout => '5000', dataDir => 'data'}));
    ends_with_code(['ha', 'status', "-c=$config"], 3, qr/data: .*systemctl start zerod\@ID/, 'no folder');
    mkdir $data;
    ends_with_code(['ha', 'status', "-c=$config"], 3, qr/data: no daemon's socket is there/, 'no daemon');
    mkdir "$data/hal$_" for 0, 1;
    my @sockets = map {IO::Socket::UNIX->new(Local => "$data/hal$_/control.sock", Listen => 1)} 0, 1;
    ends_with_code(['ha', 'roles', "-c=$config"], 2, qr/say which one with -i=ID: [01] [01]$/, 'several');
    close $_ for @sockets;
    ends_with_code(['ha', 'roles', "-c=$config", '-i=1'], 3, qr/zerod does not run/, 'one that was killed');
    ends_with_code(['ha', 'roles', "-c=$config", '-i=7'], 3, qr/zerod does not run/, 'one that there is not');
    ends_with_code(['ha', 'roles', "-c=$config", '-i=../x'], 2, qr/-i: /, 'no id');
    ends_with_code(['ha', 'roles', "-socket=$data/hal1/control.sock", '-i=1'], 2, qr/give -socket=PATH, or -c=FILE and -i=ID/, 'said twice');
    ends_with_code(['ha', 'roles', '-socket=' . 'x' x 200], 3, qr/cannot be reached: .*too long/i, 'a path that is too long');
    ends_with_code(['ha', 'roles', '-c=none.json'], 3, qr/none\.json: cannot be read/, 'no configuration');
    ends_with_code(['ha', 'roles', '-c=servers'], 1, qr/servers:1: is no JSON object: zerod -c servers -n/, 'no JSON');
    chmod 0755, $dir, $t->dir;
    chmod 0700, $data;
    my ($code, undef, $err) = as_user($dir, 'ha', 'status', "-c=$config");
    like("$code $err", qr/^3 .*run this as root or as the user of zerod$/, 'no permission');
    ends_with_code([qw(ha status -json=x)], 2, qr/-json takes no value/, 'a flag with a value');
    ends_with_code([qw(ha switchover)], 2, qr/-to= is missing/, 'to nobody');
    ends_with_code([qw(ha switchover -to=a.b)], 2, qr/-to: /, 'to what is no id');
    ends_with_code([qw(ha switchover -to=1 -wait=0)], 2, qr/-wait=0: use 1 to/, 'without patience');
    ends_with_code([qw(ha history -n=0)], 2, qr/-n=0: use 1 to/, 'no events');
    ends_with_code([qw(ha force)], 2, qr/may run twice.*zero ha force -yes$/s, 'force explains itself');
};

# Answers each line at `path` with the next of these, and hangs up.
sub liar($path, @answers)
{
    my $listener = IO::Socket::UNIX->new(Local => $path, Listen => 5) or die "$path: $!\n";
    return $t->spawn('liar', code => sub {
        for my $answer (@answers) {
            my $socket = $listener->accept;
            readline $socket;
            print $socket $answer;
            close $socket;
        }
    });
}

subtest 'what is no daemon is not believed' => sub {
    my $path = "$dir/liar.sock";
    my $pid = liar($path, '', "no json\n", "[]\n", '{"cut":', qq({"error":"no\\u001b[31m"}\n), "{}\n", qq({"forced":true}\n));
    ends_with_code(['ha', 'acks', "-socket=$path"], 3, qr/has hung up/, 'one that hangs up');
    ends_with_code(['ha', 'acks', "-socket=$path"], 3, qr/is that zerod\?/, 'one that speaks no JSON') for 1 .. 2;
    ends_with_code(['ha', 'acks', "-socket=$path"], 3, qr/has hung up/, 'half an answer');
    ends_with_code(['ha', 'acks', "-socket=$path"], 1, qr/^zero ha acks: no\\x1b\[31m$/, 'a terminal is told nothing');
    is(ends_with_code(['ha', 'acks', "-socket=$path"], 0, qr/^$/, 'an empty one'), "  node  version  lag  heard\n", 'is an empty table');
    is(ends_with_code(['ha', 'force', '-yes', "-socket=$path"], 0, qr/^$/, 'one that is forced'), "this node goes on alone: zero ha status shows it\n", 'says so');
    $t->wait_end($pid);
};

# --- three daemons ----------------------------------------------------------------------------------

my @all = HA::Zerod->cluster($t, 'three', service => $service, config => {timeout => TIMEOUT_MS});
my $leader = HA::Zerod::leader_of(@all);
my ($other) = grep {$_ != $leader} @all;

subtest 'H4, S2: status says who is active' => sub {
    is(wait_active($other, qr/^\d$/, 'an active one'), 0, 'the first one, when nothing else is known');
    my $text = said($other, 'status');
    like($text, qr/^Voting: active on 0, epoch 1, \d\.\d s of its lease left\ncluster [0-9a-f-]{36}: map \d+, term \d+, led by $leader->{id}\n\n/, 'in the first lines');
    like(row($text, 0), qr/^voter\|there\|(?:-|leads)\|active\|0\.\d s ago\|\d\|127\.0\.0\.1:\d+$/, 'the active one');
    like(row($text, $_), qr/^voter\|there\|(?:-|leads)\|passive\|/, "H4: $_ is passive") for 1, 2;
    is(scalar(() = $text =~ /\|?leads/g), 1, 'one of them leads');
    is(join(' ', $service->alive), '0', 'the service runs there');
    is(said($leader, 'status', '-json') =~ /^\{.*"nodes":\[.*\}\n\z/, 1, '-json is the answer');
    my $only = said($all[1], 'roles');
    my ($code, $out) = zero('ha', 'roles', "-c=$all[1]{config}");
    is($out, $only, 'the only daemon of a host is found without its id');
    ($code, $out) = zero('ha', 'roles', '-socket=' . $all[1]->data . '/control.sock');
    is($out, $only, 'and so is one by its socket');
};

subtest 'O6, G14: roles and acks' => sub {
    my $roles = said($other, 'roles');
    like($roles, qr/\A  node  kind   lead   replica\n(?:  \d.*\n){3}\z/, 'a line per node');
    is(row($roles, $leader->{id}) =~ s/\|(?:active|passive)\|/|/r, 'voter|leads|there', 'one leads');
    my ($version) = said($other, 'status') =~ /map (\d+)/;
    $t->wait_for(sub { (() = said($other, 'acks') =~ /^  \d     \d+ +0 /mg) == 3 }, 10, 'all to have the map');
    like(said($other, 'acks'), qr/\A  node  version  lag  heard\n(?:  \d     \d+ +0    \d\.\d s ago\n){3}\z/, 'each has the map, and says so');
};

# The keys of an object, in order.
sub keys_of($object)
{
    return join ' ', sort keys %$object;
}

subtest '-json is the answer of the daemon, for programs' => sub {
    my $json = sub (@words) { return JSON::PP->new->decode(said($other, @words, '-json')) };
    for my $what (qw(status roles acks)) {
        my $answer = $json->($what);
        my %nodes = map {$_->{id} => $_} @{$answer->{nodes}};
        is(join(' ', sort keys %nodes), '0 1 2', "$what: each node");
        for my $key (qw(kind electable present address role heard_ms version lag)) {
            is(join(' ', grep {!exists $nodes{$_}{$key}} sort keys %nodes), '', "$what: $key of each");
        }
        is($answer->{primary}, $leader->{id}, "$what: who leads");
        is($answer->{apps}[0]{active}, '0', "$what: who is active");
        is($answer->{apps}[0]{epoch}, 1, "$what: the epoch");
    }
    my $history = $json->('history')->{history};
    is(join(',', map {keys_of($_)} $history->[0], $history->[-1]), 'at index what,at index what', 'history: when, which, what');
    cmp_ok($history->[0]{index}, '>', $history->[-1]{index}, 'history: as the daemon has it, the newest first');
    my $output = $json->('output');
    is(keys_of($output), 'ensure-active ensure-passive', 'output: of each script');
};

subtest 'H11: a switchover' => sub {
    is(said($other, 'switchover', '-to=0'), "0 is the active one already: nothing is changed\n", 'to the active one');
    is(said($other, 'switchover', '-to=0', '-json'), qq({"changed":false,"said":"0 is the active one already"}\n), 'which is said in JSON, too');
    like(said($other, 'switchover', '-to=2'), qr/^2 is active after \d\.\d s\n$/, 'to another one');
    is(active($other), 2, 'which is active now');
    $service->wait_for(2, 0, 'the service there alone');
    like(refused($other, 'switchover', '-to=7'), qr/^1 zero ha switchover: 7 is no replica's id, use 0, 1, 2$/, 'to none');
    $service->wish(1, 'fail-active');
    like(refused($other, 'switchover', '-to=1', '-wait=2'), qr/^1 zero ha switchover: 1 is not active after \d\.\d s.*: it is \w+, its last script that failed: ensure-active: exit 1 .*active is not possible here/, 'to one that cannot');
    isnt(wait_active($other, qr/^[02]$/, 'one that can'), 1, 'one that can takes over');
    $service->wish(1);
};

subtest 'output is what the scripts have printed' => sub {
    $service->wish(1, 'fail-passive');
    $t->wait_for(sub { said($all[1], 'output') =~ /^ensure-passive:\n  passive is not possible here$/m }, 10, 'the output');
    like(said($all[1], 'output'), qr/^ensure-active:\n  active is not possible here\n/m, 'of both');
    $t->wait_for(sub { said($other, 'status') =~ /^replica 1 fails: ensure-passive: exit 1 after \d+ ms, it says: passive is not possible here$/m }, 10, 'status to say so');
    $service->wish(1);
};

subtest 'H7: the active one is killed' => sub {
    said($other, 'switchover', '-to=0') if active($other) ne '0';
    $all[0]->kill;
    my $next = wait_active($all[1], qr/^[12]$/, 'another one');
    like($next, qr/^[12]$/, 'another one is active');
    $t->wait_for(sub { row(scalar said($all[1], 'status'), 0) =~ /^voter\|gone\|-\|unknown\|/ }, 10, 'the one that was killed to be gone');
    like(refused($all[1], 'switchover', '-to=0'), qr/^1 zero ha switchover: it is not there$/, 'and cannot be the active one');
    my ($code, $out, $err) = ha($all[0], 'status');
    like("$code $err", qr/^3 .*zerod does not run/, 'which says so itself');
    $all[0]->launch;
    $t->wait_for(sub { row(scalar said($all[1], 'roles'), 0) =~ /\|passive\|there$/ }, TAKEOVER_SECONDS, 'it to come back');
};

subtest 'history says what happened, the newest last' => sub {
    chomp(my $last = said($all[1], 'history', '-n=1'));
    my @lines = split /\n/, said($all[1], 'history', '-n=200');
    is(scalar(grep {!/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  \d+  \S/} @lines), 0, 'each with its time');
    my @numbers = map {(split ' ')[2]} @lines;
    is_deeply(\@numbers, [sort {$a <=> $b} @numbers], 'in their order');
    like("@lines", qr/Voting: active none -> 0, epoch 1, .*Voting: active none -> 2, epoch 2, /, 'the switchover is among them');
    is(() = said($all[1], 'history', '-n=3') =~ /\n/g, 3, 'as many as are wanted');
    ok((grep {$_ eq $last} @lines[-3 .. -1]), 'the last ones');
};

subtest 'H11: pause, and nobody takes over' => sub {
    my $active = active($other);
    is(said($other, 'pause'), "Voting is paused: it stays where it is, zero ha resume ends that\n", 'it is paused');
    is(said($other, 'pause', '-app=Voting'), "Voting is paused already: nothing is changed\n", 'once');
    like(refused($other, 'pause', '-app=None'), qr/^1 zero ha pause: there is no application None/, 'what there is');
    my ($asked) = grep {$_->{id} ne $active} @all;
    $all[$active]->kill;
    my $until = time + 3 * TIMEOUT_MS / 1000 + 8;
    my $taken = 0;
    # The lease is over by then, and a new leader's patience too.
    $t->wait_for(sub { $taken ||= active($asked) !~ /^(?:$active|none)$/; $taken || time > $until }, 30, 'the time of leases');
    ok(!$taken, 'nobody has taken over');
    like(said($asked, 'status'), qr/^Voting: active on $active, epoch \d+, 0\.0 s of its lease left, paused: nobody takes over$/m, 'and status says so');
    is(said($asked, 'resume'), "Voting goes on: another replica takes over again\n", 'it goes on');
    isnt(wait_active($asked, qr/^[^$active]$/, 'another one'), $active, 'and another one takes over');
    $all[$active]->launch;
    HA::Zerod::leader_of(@all);
};

# What it says in the end: who has just come back may be passed over, as it has not the log in time.
sub handed($zerod, $command, $id)
{
    my @said;
    $t->wait_for(sub { @said = ha($zerod, $command, "-to=$id"); $said[2] !~ /does not lead after/ }, 30, "$command to $id");
    return "$said[1]$said[2]";
}

subtest 'G13: the lead by hand' => sub {
    my $lead = HA::Zerod::leader_of(@all);
    my ($to) = grep {$_ != $lead} @all;
    like(said($to, 'set-primary', "-to=$lead->{id}"), qr/^$lead->{id} leads already: nothing is changed$/, 'to itself');
    like(handed($to, 'set-primary', $to->{id}), qr/^$to->{id} leads after \d+\.\d s\n$/, 'to another one');
    is(HA::Zerod::leader_of(@all)->{id}, $to->{id}, 'which leads now');
    like(handed($lead, 'transfer', $lead->{id}), qr/^$lead->{id} leads after /, 'and back');
    like(refused($to, 'transfer', '-to=none'), qr/^1 zero ha transfer: there is no node none$/, 'to nobody');
};

# A node that stands still is one of the map for two seconds: the map changes, and the lead is asked
# for, before that. A machine that is busy may take another time.
sub asked_while_one_is_paused
{
    my ($lead, $to, $late) = (HA::Zerod::leader_of(@all));
    ($to, $late) = sort {$a->{id} <=> $b->{id}} grep {$_ != $lead} @all;
    $t->wait_for(sub { (() = said($lead, 'acks') =~ /^  \d     \d+ +0 /mg) == 3 }, 10, 'all to have the map');
    my %was = (term => $lead->status->{term}, lead => $lead, to => $to, late => $late);
    $late->pause;
    $lead->order('app-set', app => 'Paused' . $lead->status->{version}, single => \0);
    $was{answer} = refused($lead, 'set-primary', "-to=$to->{id}");
    return %was;
}

subtest 'G13: the lead stays while a node has not the map' => sub {
    my %was;
    for my $time (1 .. 5) {
        %was = asked_while_one_is_paused();
        last if $was{answer} =~ /^1 /;
        diag("time $time: $was{answer}");
        $was{late}->resume;
    }
    my ($lead, $to, $late) = @was{qw(lead to late)};
    is($was{answer}, "1 zero ha set-primary: node $late->{id} is not there, or has not the map yet: nothing is changed\n", 'one stands still: it is refused, and named');
    my $cluster = $lead->ask({ask => 'cluster'});
    is($cluster->{primary}, $lead->{id}, 'the primary is the same');
    is($cluster->{term}, $was{term}, 'so is the term');
    is($lead->status->{term}, $was{term}, 'and that of the engine');
    is($cluster->{preferred}, undef, 'nobody is preferred');
    $late->resume;
    is(HA::Zerod::leader_of(@all)->{id}, $lead->{id}, 'it goes on, and has the map');
    $t->wait_for(sub { (() = said($lead, 'acks') =~ /^  \d     \d+ +0 /mg) == 3 }, 10, 'all to say so');
    like(said($late, 'set-primary', "-to=$to->{id}"), qr/^$to->{id} leads after \d+\.\d s\n$/, 'and then it is done');
    is(HA::Zerod::leader_of(@all)->{id}, $to->{id}, 'the other one leads');
};

subtest 'O6: a node joins and leaves' => sub {
    my $web = $all[0]->joiner('web');
    my $address = $web->{address};
    my @join = ('-node=web', "-address=$address", '-role=observer');
    like(said($other, 'join', @join, '-json'), qr/^\{"changed":true,"said":"web joins as observer at $address: .*\\"nodes\\".*"\}\n\z/, 'it joins');
    $web->launch;
    $t->wait_for(sub { row(scalar said($other, 'roles'), 'web') eq 'observer|-|-|there' }, 20, 'it to be there');
    $t->wait_for(sub { row(scalar said($other, 'acks'), 'web') =~ /^[1-9]\d*\|0\|/ }, 20, 'it to have the map');
    like(said($web, 'status'), qr/^Voting: active on /, 'it asks the leader, too');
    is(said($web, 'output'), "ensure-active: nothing\nensure-passive: nothing\n", 'and runs nothing');
    is(said($other, 'join', @join), "web is such a node already: nothing is changed\n", 'once');
    like(refused($other, 'join', '-node=web', '-address=127.0.0.1:1'), qr/^1 zero ha join: web is a node already, observer at /, 'as one');
    like(refused($other, 'set-primary', '-to=web'), qr/^1 zero ha set-primary: node web may not lead: it is observer$/, 'G12: it does not lead');
    like(refused($other, 'join', '-node=x', '-address=127.0.0.1'), qr/^2 .*-address/, 'an address has a port');
    like(refused($other, 'join', '-node=x', "-address=$address", '-role=king'), qr/^2 .*use voter, witness or observer/, 'a role is one of three');
    like(refused($other, 'join', '-node=x', "-address=$address", '-role=witness', '-electable=yes'), qr/^2 .*witness never leads/, 'a witness never leads');
    $web->stop;
    is(said($other, 'leave', '-node=web'), "web has left: stop its daemon, and take it out of config.json\n", 'it leaves');
    is(said($other, 'leave', '-node=web'), "there is no node web: nothing is changed\n", 'once');
    is(row(scalar said($other, 'roles'), 'web'), 'none', 'and is gone');
    like(refused($other, 'force', '-yes'), qr/^1 zero ha force: (?:only one of two nodes|this node leads)/, 'three go on by themselves: nothing is forced');
    my $lead = HA::Zerod::leader_of(@all);
    like(refused($other, 'leave', "-node=$lead->{id}"), qr/^1 zero ha leave: node $lead->{id} is the primary/, 'but not who leads');
};

subtest 'G11: without a leader it says what one node knows' => sub {
    $_->kill for @all[1, 2];
    my ($code, $out, $err) = (0);
    $t->wait_for(sub { ($code, $out, $err) = ha($all[0], 'status'); $code }, 30, 'a status without a leader');
    is($code, 1, 'it ends with 1');
    like($out, qr/^node 0 by itself: map \d+, term \d+, led by \d when it last heard\nits replica: \w+ for \d+\.\d s, .*, epoch \d+\n\z/, 'and what is known');
    like($err, qr/^zero ha status: no leader answers: /, 'in a sentence');
};

$_->stop for grep {$_->running} @all;
$service->kill_all;
is($service->overlap_ms, 0, 'never two at once');
chdir '/';
$t->done;
