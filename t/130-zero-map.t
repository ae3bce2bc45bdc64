# SPDX-License-Identifier: Apache-2.0
# zero map show, diff and check: what they say of the file in which a daemon keeps the cluster map.
use v5.36;
use lib ($ENV{top_srcdir} // '.') . '/t/lib';

use Digest::SHA qw(sha256_hex);
use HA::Zero;
use JSON::PP ();
use Test::More;

my $uuid = '0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0';
my $golden = slurp(($ENV{top_srcdir} // '.') . '/t/golden/map-1.txt');
my $body = $golden =~ s/\A.*\n//r;
chdir folder() or die;

# A map's file with this for its body.
sub spew_map($name, $text)
{
    return spew($name, 'zero-map 1 ' . length($text) . ' ' . sha256_hex($text) . "\n$text");
}

# The golden one with pieces replaced.
sub spew_changed($name, @pairs)
{
    my $text = $body;
    while (my ($old, $new) = splice @pairs, 0, 2) {
        $text =~ s/\Q$old\E/$new/ or die "there is no $old\n";
    }
    return spew_map($name, $text);
}

spew('map', $golden);
my $says = "map 17 of $uuid, term 3, primary hostA, 3 nodes, 2 applications\n";

subtest 'check says which map it is' => sub {
    is(ends_with_code([qw(map check map)], 0, qr/^$/, 'a whole one'), "map: $says", 'in a line');
    spew_map('first', qq({\n  "uuid": "$uuid",\n  "version": 1,\n  "term": 0,\n  "primary": null,\n  "nodes": [],\n  "apps": []\n}\n));
    is(ends_with_code([qw(map check first map)], 0, qr/^$/, 'several'), "first: map 1 of $uuid, term 0, no primary, 0 nodes, 0 applications\nmap: $says", 'a line each');
};

subtest 'check says what is wrong, by line' => sub {
    spew('flipped', $golden =~ s/hostA/hostX/r);
    spew('cut', substr $golden, 0, 700);
    spew('empty', '');
    spew('other', "ServerName x\n");
    spew_changed('longer', '"version": 17,', qq("version": 17,\n  "more": 1,));
    spew_changed('heavy', '"weight": 50', '"weight": 101');
    my %wrong = (
        flipped => qr/^zero map check: flipped:1: /,
        cut => qr/^zero map check: cut:1: /,
        empty => qr/^zero map check: empty:1: /,
        other => qr/^zero map check: other:1: this is no zero-map file/,
        longer => qr/^zero map check: longer:5: ".*more.*" is not how a map is written$/,
        heavy => qr/^zero map check: heavy: App member hostB: its weight is not 1 to 100$/,
    );
    for my $file (sort keys %wrong) {
        is(ends_with_code([qw(map check), $file], 1, $wrong{$file}, $file), '', 'and nothing else');
    }
    is(ends_with_code([qw(map check flipped map)], 1, qr/flipped:1/, 'one of two'), "map: $says", 'the other one is looked at, too');
    ends_with_code([qw(map check flipped nowhere)], 3, qr/nowhere: cannot be read/, 'one that is not there weighs more');
};

subtest 'show is for people, and -json for programs' => sub {
    my $shown = ends_with_code([qw(map show map)], 0, qr/^$/, 'show');
    is($shown, <<~"END", 'nodes, applications, members');
        map 17 of $uuid, term 3, primary hostA

          node   address             role     electable
          hostA  192.0.2.1:7946      voter    yes        primary
          hostB  [2001:db8::b]:7946  voter    yes
          web    web.example:7946    witness  no

        App: active on all members
          member  url                        weight  admin
          hostA   http://192.0.2.1:8080      100     enabled
          hostB   http://[2001:db8::b]:8080  50      drain

        Voting: active on hostB, epoch 12
          member  url                        weight  admin
          hostA   http://192.0.2.1:9000      1       enabled
          hostB   http://hostb.example:9000  1       enabled  active
        END
    my $json = ends_with_code([qw(map show -json map)], 0, qr/^$/, 'show -json');
    is($json, $body, 'is what is in the file');
    is(JSON::PP->new->decode($json)->{apps}[1]{epoch}, 12, 'and is JSON');
    spew_changed('idle', '"active": "hostB"', '"active": null', '"primary": "hostA"', '"primary": null');
    like(ends_with_code([qw(map show idle)], 0, qr/^$/, 'nobody leads'), qr/, no primary\n.*^Voting: active on none, epoch 12$/ms, 'and nobody is active');
    is(ends_with_code([qw(map show cut)], 1, qr/^zero map show: cut:1: /, 'a damaged one'), '', 'is not shown');
};

subtest 'diff says what has changed' => sub {
    is(ends_with_code([qw(map diff map map)], 0, qr/^$/, 'the same'), '', 'nothing');
    spew_changed(
        'later',
        '"version": 17' => '"version": 18',
        '"term": 3' => '"term": 4',
        '"primary": "hostA"' => '"primary": "hostB"',
        '"active": "hostB",' => '"active": "hostA",',
        '"epoch": 12' => '"epoch": 13',
        '"weight": 50' => '"weight": 60',
        '"admin": "drain"' => '"admin": "enabled"'
    );
    is(ends_with_code([qw(map diff map later)], 1, qr/^$/, 'two that differ'), <<~'END', 'a line for each change');
        version 17 -> 18
        primary hostA -> hostB, term 3 -> 4
        App: member hostB: weight 50 -> 60
        App: member hostB: drain -> enabled
        Voting: active hostB -> hostA, epoch 12 -> 13
        END
    my $other = $uuid =~ s/^./f/r;
    spew_changed('others', $uuid, $other);
    is(ends_with_code([qw(map diff map others)], 1, qr/^$/, 'of another cluster'), "cluster $uuid -> $other, which is another one\n", 'is said');
    my $gone = $body =~ s/,\s+\{\s+"id": "web".*?\}//sr;
    spew_map('gone', $gone);
    is(ends_with_code([qw(map diff map gone)], 1, qr/^$/, 'a node leaves'), "node web: gone\n", 'is said');
    is(ends_with_code([qw(map diff gone map)], 1, qr/^$/, 'and joins'), "node web: added, witness, not electable, web.example:7946\n", 'is said');
    is(ends_with_code([qw(map diff map cut)], 1, qr/^zero map diff: cut:1: /, 'a damaged one'), '', 'is compared with nothing');
    ends_with_code([qw(map diff nowhere map)], 3, qr/^zero map diff: nowhere: cannot be read/, 'one that is not there');
};

subtest 'the largest map is shown at once' => sub {
    my @members = map {sprintf qq({\n          "route": "h%04d",\n          "url": "http://h%04d.example:80",\n          "weight": 1,\n          "admin": "enabled"\n        }), $_, $_} 1 .. 1000;
    my $members = join ",\n        ", @members;
    my @apps = map {qq({\n      "name": "A$_",\n      "members": [\n        $members\n      ]\n    })} 1 .. 7;
    spew_map('large', qq({\n  "uuid": "$uuid",\n  "version": 1,\n  "term": 0,\n  "primary": null,\n  "nodes": [],\n  "apps": [\n    ) . join(",\n    ", @apps) . qq(\n  ]\n}\n));
    my $shown = ends_with_code([qw(map show large)], 0, qr/^$/, 'show');
    is(scalar(my @lines = $shown =~ /\n/g), 7 * 1003 + 3, 'all of it');
    is(scalar(my @differ = ends_with_code([qw(map diff map large)], 1, qr/^$/, 'diff') =~ /added/g), 7007, 'all of it');
};

ends_with_code($_, 2, qr/^zero map \w+: /, "usage: @$_") for [qw(map show)], [qw(map show map map)], [qw(map diff map)], [qw(map check)], [qw(map check -x map)];
done_testing;
